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


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out of a training run, besides the books."""

    vocabulary: int = 4096
    width: int = 160
    layers: int = 4
    heads: int = 5
    inner: int = 448
    longest: int = 1024
    steps: int = 3600
    rate: float = 2e-3
    warm_up: int = 100
    fall: float = 0.4
    decay: float = 0.1
    clip: float = 1.0
    dropout: float = 0.1
    check_every: int = 200
    seed: int = 20911
    mixture: Mixture = field(default_factory=Mixture)


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
    # transformers starts every matrix at 0.02. What writes into the residual stream starts smaller,
    # so that the stream's variance does not grow with depth (GPT-2).
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.normal_(weight, std=0.02 / math.sqrt(2 * recipe.layers))
    return model


def add_dropout(model: nn.Module, share: float) -> None:
    """Drop out of what enters the residual stream. Llama has none; a few epochs of books need it.

    By hooks, so that what is saved stays a plain Llama.
    """

    def drop(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(output, share, module.training)

    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(drop)


def falls_from(recipe: Recipe) -> int:
    """The step from which the learning rate falls."""
    return round(recipe.steps * (1 - recipe.fall))


def rate_at(step: int, recipe: Recipe) -> float:
    """Learning rate: a linear warm-up, a plateau, and a straight fall to a hundredth.

    Until it falls nothing depends on how many steps there are to be. A run on a busy machine can
    be told to end sooner, and is then the same as one that was told so from the beginning.
    """
    warm = min(1.0, (step + 1) / max(1, recipe.warm_up))
    left = (recipe.steps - step) / max(1, recipe.steps - falls_from(recipe))
    return recipe.rate * min(warm, max(0.01, left))


def step_loss(model: LlamaForCausalLM, ids: Ids, recipe: Recipe, step: int) -> torch.Tensor:
    """Mean loss over the counted targets of one step's rows.

    The rows depend on seed and step alone, so that a run may stop and go on as if it had not.
    """
    rng = np.random.default_rng((recipe.seed, step))
    rows, counted = batch(ids, recipe.mixture, model.config.vocab_size, rng)
    torch.manual_seed(recipe.seed + step)  # for the dropout
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
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.rate,
        betas=(0.9, 0.95),
    )
    add_dropout(model, recipe.dropout)
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
            optimiser.load_state_dict(state["optimiser"])
            best, kept, best_weights = state["best"], state["kept"], state["best_weights"]
            start, before = state["step"], state["seconds"]
            yield Checked(start, kept, math.nan, best, math.nan, before)
    began, losses = time.perf_counter() - before, []
    for step in range(start, recipe.steps):
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, recipe)
        loss = step_loss(model, ids, recipe, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
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
                    "optimiser": optimiser.state_dict(),
                    "best": best,
                    "kept": kept,
                    "best_weights": best_weights,
                },
                beside,
            )
        yield Checked(done, kept, float(np.mean(losses)), now, repeat, seconds)
        losses.clear()
    model.load_state_dict(best_weights)
