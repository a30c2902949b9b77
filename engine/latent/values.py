"""The frozen values of walks through a latent space, and of pictures of states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.types import Floats, Progress, Query, Result


@dataclass(frozen=True, slots=True)
class DecodeQuery(Query):
    """What the model says next with a decoded point in place of one token's state.

    `points` are decoded in one batch, each Z numbers: one for the mouse, a row of them for a
    slider's strip or the way between two points (`engine.latent.paths` makes such rows). The state
    that is replaced is that of token `position` (None: the last) at the depth of the space of
    `layer` (None: the model's own). `count` is how many likeliest tokens are told: those after the
    first `stop` tokens (None: after all), at least those up to `position`.
    """

    points: tuple[tuple[float, ...], ...]
    layer: int | None = None
    position: int | None = None
    count: int = 8
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class PlaceQuery(Query):
    """Where the tokens' states lie in a fitted picture, the one called `picture`."""

    picture: str


@dataclass(frozen=True, slots=True)
class PictureQuery(Query):
    """The picture of states drawn under the name `picture`, as it was drawn; empty: the newest.

    The answer is an `engine.latent.pictured.PictureResult`.
    """

    picture: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DecodeResult(Result):
    """What P decoded points make the model say.

    `ids` (P, k), `texts` and `scores` (P, k) falling: with `kind` ``next`` the likeliest next
    tokens and their probabilities; with ``vocabulary`` (a model that predicts no next token, which
    `reason` says) the entries whose input embeddings are nearest to the decoded state, and cosine
    similarities. `divergence` (P,) is KL(p ‖ p′) in nats of what is said with the decoded state
    from what the model says by itself; NaN with ``vocabulary``. `norms` (P,) are the lengths of the
    decoded states, `norm` that of the state they replace.
    """

    layer: int
    position: int
    kind: Literal["next", "vocabulary"]
    ids: NDArray[np.int64]
    texts: tuple[tuple[str, ...], ...]
    scores: Floats
    divergence: Floats
    norms: Floats
    norm: float
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceResult(Result):
    """`xy` (T, 2) the tokens' places in a fitted picture, which they do not change."""

    picture: str
    layer: int
    xy: Floats


@dataclass(frozen=True, slots=True)
class Written(Progress):
    """A step of writing on from latent points: what the point number `which` made so far.

    `written` is empty while the context is still read. `ended` says that the model ended the text.
    """

    which: int = 0
    written: str = ""
    ended: bool = False
