"""Training a small Llama: the recipe, the model, and the loop that may be stopped and goes on.

Shape letters: B rows, T tokens, D model width, V vocabulary, N tokens of a text, K targets that
are counted.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from engine.files import replacing
from engine.lab.corpus import Ids, Mixture, batch
from engine.lab.measures import predict, repeat_accuracy, windows
from engine.lab.muon import Muon


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out of a training run, besides the books.

    The first `opening_steps` draw their rows from `opening`: nothing but repetitions. Where those
    are one row in five from the start, learning to look back takes longer than there is time for.
    `rate` is for matrices, `embedding_rate` for embeddings and norms.
    """

    vocabulary: int = 3072
    width: int = 160
    layers: int = 4
    heads: int = 5
    inner: int = 448
    longest: int = 1024
    steps: int = 2400
    opening_steps: int = 300
    rate: float = 0.01
    embedding_rate: float = 4e-3
    warm_up: int = 100
    fall: float = 0.4
    decay: float = 0.02
    clip: float = 1.0
    check_every: int = 100
    seed: int = 20911
    opening: Mixture = field(
        default_factory=lambda: Mixture(1024, (64,), (1.0,), random=1.0, natural=0.0, copied=0.0)
    )
    mixture: Mixture = field(default_factory=Mixture)

    @property
    def tokens(self) -> int:
        """How many tokens a run looks at, those that are not counted among them."""
        first = min(self.steps, self.opening_steps)
        return first * self.opening.budget + (self.steps - first) * self.mixture.budget


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at the model during training showed; `kept` is the best step so far.

    `repeat` is the share of tokens told right where random tokens are repeated.
    """

    step: int
    kept: int
    loss: float
    choose_loss: float
    repeat: float
    seconds: float


def build(recipe: Recipe, vocabulary: int) -> LlamaForCausalLM:
    """An untrained model; its weights depend on the seed alone."""
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            intermediate_size=recipe.inner,
            max_position_embeddings=recipe.longest,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=None,
        )
    )
    start_weights(model)
    return model


PEAK = (6.0, 4.0, 3.0, 2.0)
"""How much each of the fastest rotary frequencies adds to a head's score one token back."""


@torch.no_grad()
def start_weights(model: LlamaForCausalLM) -> None:
    """Start from where a few million tokens are enough to learn to look back.

    transformers starts everything at 0.02. From there neither AdamW nor Muon had, after 800 and 400
    steps, given a head that looks one token back, which is the first half of induction. So

    - embeddings are long enough for a token to be told from all others by its direction;
    - they share a direction: without biases, nothing else is there from which a query or a key
      could be made that depends on position alone. To the logits it adds the same everywhere;
    - the first head of the first layer starts as one that looks one token back.
    """
    config, std = model.config, 0.08
    embedding = model.model.embed_tokens.weight  # (V, D)
    shared = nn.functional.normalize(torch.randn(config.hidden_size), dim=0)  # (D,)
    nn.init.normal_(embedding, std=std)
    embedding += std * math.sqrt(config.hidden_size) * shared
    # What writes into the residual stream starts smaller, so that its variance does not grow with
    # depth (GPT-2).
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.num_hidden_layers))
    # After the first norm an embedding has length √D, half of its square along `shared`.
    along = math.sqrt(config.hidden_size / 2)
    attention = model.model.layers[0].self_attn
    half = attention.head_dim // 2  # rotary pairs dimension i with i + half
    for pair, height in enumerate(PEAK[:half]):
        angle = 10000.0 ** (-pair / half)
        size = math.sqrt(height * math.sqrt(attention.head_dim)) / along
        # Turned ahead by one token's angle, a key meets the query that comes one token later.
        attention.q_proj.weight[pair] += size * shared
        attention.k_proj.weight[pair] += size * math.cos(angle) * shared
        attention.k_proj.weight[pair + half] += size * math.sin(angle) * shared


def falls_from(recipe: Recipe) -> int:
    """The step from which the learning rate falls."""
    return round(recipe.steps * (1 - recipe.fall))


def rate_at(step: int, recipe: Recipe) -> float:
    """Share of the learning rates: a linear warm-up, a plateau, and a straight fall to a hundredth.

    Until it falls nothing depends on how many steps there are to be. A run on a busy machine can
    be told to end sooner, and is then the same as one that was told so from the beginning.
    """
    warm = min(1.0, (step + 1) / max(1, recipe.warm_up))
    left = (recipe.steps - step) / max(1, recipe.steps - falls_from(recipe))
    return min(warm, max(0.01, left))


def step_loss(model: LlamaForCausalLM, ids: Ids, recipe: Recipe, step: int) -> torch.Tensor:
    """Mean loss over the counted targets of one step's rows.

    The rows depend on seed and step alone, so that a run may stop and go on as if it had not.
    """
    rng = np.random.default_rng((recipe.seed, step))
    mixture = recipe.opening if step < recipe.opening_steps else recipe.mixture
    rows, counted = batch(ids, mixture, model.config.vocab_size, rng)
    tokens = torch.from_numpy(rows)  # (B, T + 1)
    wanted = torch.from_numpy(counted)  # (B, T)
    states = model.model(tokens[:, :-1], use_cache=False).last_hidden_state  # (B, T, D)
    # Only counted places are carried to the vocabulary, by far the widest layer.
    logits = model.lm_head(states[wanted])  # (B, T, D) -> (K, D) -> (K, V)
    return nn.functional.cross_entropy(logits, tokens[:, 1:][wanted])


def fit(
    model: LlamaForCausalLM, ids: Ids, choose: Ids, recipe: Recipe, work: Path
) -> Iterator[Checked]:
    """Train `model` and leave it with the weights that did best on `choose`.

    Parameters
    ----------
    ids, choose : (N,) int64
        Tokens to train on, tokens to choose the checkpoint by.
    work : Path
        Folder for the checkpoint. One of a run with another recipe is not gone on from.
    """
    matrices = [w for n, w in model.named_parameters() if w.ndim == 2 and "embed" not in n]
    others = [w for n, w in model.named_parameters() if w.ndim < 2 or "embed" in n]
    inner = Muon(matrices, decay=recipe.decay)
    outer = torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0)
    rows = windows(choose, min(256, len(choose)))
    best, kept, start, before = math.inf, 0, 0, 0.0
    best_weights = model.state_dict()
    path = work / "checkpoint.pt"
    told = json.dumps(dataclasses.asdict(dataclasses.replace(recipe, steps=0)))
    if path.exists():
        state = torch.load(path, weights_only=True)
        same = state["steps"] == recipe.steps or state["step"] <= falls_from(recipe)
        if state["recipe"] == told and same:
            model.load_state_dict(state["model"])
            inner.load_state_dict(state["inner"])
            outer.load_state_dict(state["outer"])
            best, kept, best_weights = state["best"], state["kept"], state["best_weights"]
            start, before = state["step"], state["seconds"]
            yield Checked(start, kept, math.nan, best, math.nan, before)
    began, losses = time.perf_counter() - before, []
    for step in range(start, recipe.steps):
        model.train()
        part = rate_at(step, recipe)
        outer.param_groups[0]["lr"] = recipe.embedding_rate * part
        loss = step_loss(model, ids, recipe, step)
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        inner.step(recipe.rate * part)
        outer.step()
        losses.append(float(loss.detach()))
        done = step + 1
        if done % recipe.check_every and done != recipe.steps:
            continue
        now = predict(model, rows).loss
        if now < best:
            best, kept = now, done
            best_weights = {name: value.clone() for name, value in model.state_dict().items()}
        repeat = repeat_accuracy(model, model.config.vocab_size)
        seconds = time.perf_counter() - began
        with replacing(path) as beside:
            torch.save(
                {
                    "recipe": told,
                    "steps": recipe.steps,
                    "step": done,
                    "seconds": seconds,
                    "model": model.state_dict(),
                    "inner": inner.state_dict(),
                    "outer": outer.state_dict(),
                    "best": best,
                    "kept": kept,
                    "best_weights": best_weights,
                },
                beside,
            )
        yield Checked(done, kept, float(np.mean(losses)), now, repeat, seconds)
        losses.clear()
    model.load_state_dict(best_weights)
