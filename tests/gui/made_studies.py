"""Studies made of numbers, as the engine's jobs would give them."""

from __future__ import annotations

import numpy as np

from engine.studies.values import Effect, Heads, Interval, KShot, Point, Positions, Record, shown
from gui.studies import heads, kshot, position
from gui.studies.spec import sheet

TITLE = "Made-135M"


def interval(value: float, width: float = 0.1) -> Interval:
    return Interval(value, value - width, value + width)


SHOWN = "A 1\nB: dog\n\n"


def record(k: int = 0, seed: int = 0, query: int = 0, right: bool = True, **changes) -> Record:
    told = {
        "k": k,
        "seed": seed,
        "shuffled": False,
        "query": query,
        "prompt": f"Say it.\n\n{SHOWN * k}A {query}\nB:",
        "gold": "dog",
        "predicted": "dog" if right else "fox",
        "right": right,
        "gold_logprob": -0.5 - query,
        "logprobs": (("dog", -0.5 - query), ("fox", -1.5)),
    }
    return Record(**(told | changes))


def point(k: int, shuffled: bool = True) -> Point:
    low = interval(0.4) if shuffled else None
    return Point(
        k=k,
        queries=4,
        seeds=2,
        accuracy=interval(0.5 + 0.05 * k),
        gold_logprob=interval(-1.0 + 0.05 * k),
        macro_f1=interval(0.45 + 0.05 * k),
        shuffled_accuracy=low,
        shuffled_gold_logprob=interval(-1.2) if shuffled else None,
        shuffled_macro_f1=low,
        gap=interval(0.1) if shuffled else None,
    )


def kshot_study(shots=(0, 1, 2, 4)) -> KShot:
    records = tuple(record(k, query=at, right=at != 1) for k in shots for at in range(4))
    return KShot(
        model="made",
        title=TITLE,
        task="tiny",
        task_title="Tiny",
        scoring="labels",
        instruction=True,
        chance=0.5,
        points=tuple(point(k) for k in shots),
        records=records,
        tokens=100,
        alone=400,
    )


def position_study(count: int = 120, texts: int = 3) -> Positions:
    places = np.arange(1, count)
    losses = 4.0 / np.sqrt(places) + np.arange(texts)[:, None] * 0.1  # (N, T - 1)
    rows = np.concatenate([np.full((texts, 1), np.nan), losses], axis=1)
    curve = np.concatenate([[np.nan], losses.mean(axis=0)])
    return Positions(
        model="made",
        title=TITLE,
        early=10,
        late=100,
        around=0,
        losses=shown(rows),
        curve=shown(curve),
        low=shown(curve - 0.1),
        high=shown(curve + 0.1),
        score=interval(-0.9),
        names=tuple("abc"[:texts]),
    )


def heads_study(layers: int = 3, heads: int = 4, refused: str = "") -> Heads:
    scores = np.linspace(0, 1, layers * heads).reshape(layers, heads)
    effects = tuple(
        Effect(off, tuple(off_heads), interval(loss), interval(0.5), icl, 0.9, 0.8)
        for off, off_heads, loss, icl in (
            ("none", (), 0.5, interval(-0.6)),
            ("top", ((2, 3), (2, 2)), 2.5, interval(-0.2)),
            ("random", ((0, 1), (1, 0)), 0.6, None),
        )
    )
    return Heads(
        model="made",
        title=TITLE,
        induction=shown(scores),
        prefix_matching=shown(scores[::-1]),
        ablation="zero",
        effects=() if refused else effects,
        refused=refused,
    )


def kshot_sheet():
    return sheet(kshot.STUDY, kshot_study(), {"model": "made", "model_title": TITLE})


def sheets():
    """One of each kind."""
    made = {"model": "made", "model_title": TITLE}
    return [
        kshot_sheet(),
        sheet(position.STUDY, position_study(), made),
        sheet(heads.STUDY, heads_study(), made),
    ]
