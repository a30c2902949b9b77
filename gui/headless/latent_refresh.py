"""``main.py latent refresh``: collect anew the states that a space is shown against."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gui.headless.console import DONE, finish
from gui.headless.latent import PATIENCE, print_json, warnings_said
from gui.headless.opening import opened


@dataclass(frozen=True, slots=True)
class Refreshing:
    """What ``latent refresh`` was asked for; None where it did not say."""

    space: str
    corpus: tuple[Path, ...]
    out: Path | None
    model: str | None
    device: str
    layer: int | None
    label: str | None
    cutting: dict[str, Any]
    command: str


def refresh(given: Refreshing, as_json: bool) -> int:
    """Give a space the states it is shown against anew, and keep it in its file or in another.

    Raises
    ------
    UserError
        If the space is damaged or of another model or layer, nothing is left to show, or the file
        cannot be written.
    """
    from engine.latent.card import require
    from engine.latent.corpus import Passages
    from engine.latent.corpus_texts import read_corpus
    from engine.latent.reference import refresh_steps, save
    from engine.latent.space import load
    from engine.latent.store import named

    with warnings_said():
        path = named(given.space)
    space = load(path)
    texts = read_corpus(given.corpus, given.label)
    loaded = opened(given.model or space.card.model, given.device)
    require(space.card, loaded.info, given.layer)
    steps = refresh_steps(loaded, space, texts, Passages(**given.cutting), given.command, PATIENCE)
    made = finish(steps)
    out = given.out or path
    save(made, out)
    counts = Counter(made.labels.tolist())
    shown = {name: counts[label] for label, name in enumerate(made.label_names)}
    if as_json:
        print_json({"space": str(out), "states": len(made.labels), "labels": shown})
    else:
        each = ", ".join(f"{name} ({count:,})" for name, count in shown.items())
        print(f"{out.name} is shown against {len(made.labels):,} states: {each}.")
    return DONE
