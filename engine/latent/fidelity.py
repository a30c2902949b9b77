"""How much of what a model says survives a space: decode(encode(x)) put in place of x.

``python -m engine.latent.fidelity MODEL TEXTS`` prints it for each space of a model's tokens.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.errors import UserError
from engine.latent.corpus import Text, cut_to, read_texts
from engine.latent.running import Unrunnable, check, log_probabilities, next_scores
from engine.latent.space import Space
from engine.models.loader import Loaded
from engine.types import Progress


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Means over `states` tokens whose state was exchanged, each alone, before it was run on.

    `divergence` is KL(p ‖ p′) in nats of the next-token distribution p′ with the decoded state from
    the model's own p, `agreement` the share of tokens after which the likeliest token is the same;
    ``pca_`` the same with as many principal components, ``mean_`` with the centre of all states,
    which knows nothing of the state it replaces.
    """

    layer: int
    latent: int
    states: int
    divergence: float
    agreement: float
    pca_divergence: float
    pca_agreement: float
    mean_divergence: float
    mean_agreement: float


def fidelity_steps(
    loaded: Loaded,
    layer: int,
    texts: Sequence[Text],
    states: int = 200,
    length: int = 96,
    seed: int = 0,
) -> Generator[Progress, None, Fidelity]:
    """Measure the space of `layer` at about `states` tokens of `texts`.

    Ten tokens of each passage, drawn with `seed`, the first token left out; a passage has up to
    `length` tokens and starts at a random paragraph.

    Raises
    ------
    UserError
        If the model predicts no next token or there is no text.
    """
    what = f"Cannot measure the space of layer {layer}"
    try:
        reader = check(loaded.reader, loaded.info.title)
    except Unrunnable as reason:
        raise UserError(what, str(reason), "Choose a space of a causal model") from reason
    space = loaded.spaces[layer]
    rng = np.random.default_rng(seed)
    found: list[list[tuple[float, bool]]] = []  # a row a state: with the VAE, PCA, the centre
    passages = max(1, round(states / 10))
    for turn in range(passages):
        text = texts[turn % len(texts)].text
        starts = [0, *(i + 2 for i in range(len(text) - 400) if text[i : i + 2] == "\n\n")]
        ids, *_ = cut_to(loaded, text[int(rng.choice(starts)) :], length)
        if len(ids) < 3:
            continue
        with torch.inference_mode():
            trace, _ = reader.read(None, ids, [], lambda: False)
            rows = trace.states["decoder"][layer].rows()
            for position in sorted(
                rng.choice(np.arange(1, len(ids)), min(10, len(ids) - 1), False)
            ):
                own = log_probabilities(reader, trace.final.rows()[position : position + 1])[0]
                tried = _rebuilt(space, rows[position : position + 1].float())  # (3, D)
                scores = next_scores(
                    reader, trace, tried, layer, int(position), stop=int(position) + 1
                )
                apart = (own.exp() * (own - scores)).sum(dim=-1).clamp(min=0).tolist()
                same = (scores.argmax(dim=-1) == own.argmax()).tolist()
                found.append(list(zip(apart, same, strict=True)))
        yield Progress(f"Layer {layer}: {len(found)} states decoded", (turn + 1) / passages)
    if not found:
        raise UserError(what, "the texts are too short", "Choose longer ones")
    means = np.array(found, dtype=np.float64).mean(axis=0).tolist()  # (3, 2)
    return Fidelity(layer, len(space.origin), len(found), *means[0], *means[1], *means[2])


def _rebuilt(space: Space, state: Tensor) -> Tensor:
    """What a state (1, D) comes back as from the VAE, from PCA and from nothing, (3, D)."""
    mu, _ = space.encode(state)
    standard = space.vae.standard
    flat = standard.inverse(space.pca.rebuild(standard(state)))
    nothing = standard.inverse(space.pca.mean[None])
    return torch.cat([space.decode(mu), flat, nothing])


def main(args: list[str]) -> int:
    """Print a line of JSON for each space of the tokens of a model."""
    from engine.engine import Engine
    from engine.models.catalogue import resolve
    from engine.models.store import fetch, open_spec

    if len(args) != 2:
        print("usage: python -m engine.latent.fidelity MODEL TEXTS", file=sys.stderr)
        return 2
    engine, entry = Engine(), resolve(args[0])
    engine.load(open_spec(entry, fetch(entry)), "cpu")
    assert engine.loaded is not None
    texts = read_texts(Path(args[1]))
    for layer in engine.loaded.spaces:
        steps = fidelity_steps(engine.loaded, layer, texts)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                print(msgspec.json.encode(asdict(stop.value)).decode(), flush=True)
                break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
