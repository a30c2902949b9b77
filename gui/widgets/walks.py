"""Walks through a latent space: rows of points to be decoded, and from what each is made.

Shape letters: P points of a walk, Z latent width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.latent.corpus_sentences import of_tokens
from engine.latent.paths import Point, between, centre, prior, traversal
from engine.types import LatentResult, Token
from gui.widgets.faders import REACH, coordinate

STEPS = 9
"""Points of a walk."""

Kind = Literal["none", "dimension", "straight", "arc", "sentences", "groups", "prior"]

KINDS: tuple[tuple[str, Kind], ...] = (
    ("no walk", "none"),
    ("along a dimension", "dimension"),
    ("straight to pin", "straight"),
    ("arc to pin", "arc"),
    ("between sentences", "sentences"),
    ("between groups", "groups"),
    ("from the prior", "prior"),
)

ABOUT = (
    f"<p>A row of decoded points: <b>along one dimension</b> from −{REACH:g} to {REACH:g}, the "
    "others as the sliders say; from the selected to the pinned token, <b>straight</b> as "
    "(1−t)·a + t·b or on an <b>arc</b> as (sin((1−t)ω)·a + sin(tω)·b) / sin ω; straight between "
    "the means of μ of two <b>sentences</b>, the selected and the pinned token's, or of two "
    "<b>groups</b> of tokens; or draws z ~ N(0, I) <b>from the prior</b>.</p>"
)

_PAIR = "Select a token, then pin another (Shift and a click): the walk goes between the two."
_SENTENCES = (
    "Select a token of one sentence, then pin one of another (Alt+P pins the selected one): the "
    "walk goes between the means of their tokens."
)
_SAME = "Both tokens lie in one sentence: select and pin tokens of two."
_NO_SENTENCE = "One of the two tokens lies in no sentence: choose a word of each."
_GROUPS = (
    "There are no two groups yet: mark one on the map with the lasso, then another; the walk goes "
    "between their means."
)


@dataclass(frozen=True, slots=True)
class Ground:
    """All that a walk may be made of.

    `latent` says where the tokens of `tokens`, which `text` was read as, lie. `selected` and
    `pinned` are tokens; `groups` the means of two groups; `point` and `dimension` what the sliders
    say; `seed` is that of the draws.
    """

    latent: LatentResult
    text: str
    tokens: Sequence[Token]
    selected: int | None
    pinned: int | None
    groups: tuple[Point | None, Point | None]
    point: Point
    dimension: int
    seed: int


@dataclass(frozen=True, slots=True)
class Walk:
    """P points with a label each; without points, a sentence that says what is missing.

    `about` says in a sentence what lies at the ends, where that is not plain. `ordered` says that
    each point comes after the one before it.
    """

    points: tuple[Point, ...] = ()
    labels: tuple[str, ...] = ()
    message: str = ""
    about: str = ""
    ordered: bool = True

    def name(self, cell: int) -> str:
        """What a point is called in a sentence."""
        return self.labels[cell] if self.ordered else f"draw {cell + 1}"


def walk(kind: Kind, ground: Ground) -> Walk:
    """The walk of a kind, as far as it can be made."""
    if kind == "dimension":
        values = np.linspace(-REACH, REACH, STEPS).tolist()
        points = traversal(ground.point, ground.dimension, values)
        return Walk(points, tuple(coordinate(value) for value in values))
    if kind in ("straight", "arc"):
        return _of_tokens(ground, kind == "arc")
    if kind == "sentences":
        return _of_sentences(ground)
    if kind == "groups":
        width = ground.latent.mu.shape[1]
        a, b = ground.groups
        if a is None or b is None or len(a) != width or len(b) != width:
            return Walk(message=_GROUPS)
        return _straight(a, b, "From the mean μ of the first group to that of the second.")
    if kind == "prior":
        points = prior(STEPS, ground.latent.mu.shape[1], ground.seed)
        lengths = [f"‖z‖ {np.linalg.norm(point):.1f}" for point in points]
        about = f"{STEPS} draws from N(0, I), seed {ground.seed}, with their lengths."
        return Walk(points, tuple(lengths), about=about, ordered=False)
    return Walk()


def _straight(a: Sequence[float], b: Sequence[float], about: str, arc: bool = False) -> Walk:
    points = between(a, b, STEPS, spherical=arc)
    labels = tuple(f"t = {share:.2f}" for share in np.linspace(0, 1, STEPS))
    return Walk(points, labels, about=about)


def _of_tokens(ground: Ground, arc: bool) -> Walk:
    start, end, mu = ground.selected, ground.pinned, ground.latent.mu
    if start is None or end is None or max(start, end) >= len(mu):
        return Walk(message=_PAIR)
    return _straight(mu[start].tolist(), mu[end].tolist(), "", arc)


def _of_sentences(ground: Ground) -> Walk:
    start, end, mu = ground.selected, ground.pinned, ground.latent.mu
    if start is None or end is None or len(mu) != len(ground.tokens):
        return Walk(message=_SENTENCES)
    found = of_tokens(ground.text, ground.tokens)
    one, other = (
        next((index for index, (_, inside) in enumerate(found) if token in inside), None)
        for token in (start, end)
    )
    if one is None or other is None:
        return Walk(message=_NO_SENTENCE)
    if one == other:
        return Walk(message=_SAME)
    (span, inside), (other_span, other_inside) = found[one], found[other]
    about = f"From {_quoted(ground.text, span)} to {_quoted(ground.text, other_span)}."
    return _straight(centre(mu, inside), centre(mu, other_inside), about)


def _quoted(text: str, span: tuple[int, int]) -> str:
    said = " ".join(text[slice(*span)].split())
    return f"“{said if len(said) <= 48 else said[:47] + '…'}”"
