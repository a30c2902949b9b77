"""How good a picture of states is, as its panel and its figure tell it. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.latent.pictured import PictureResult
from engine.latent.quality import Quality

MEASURES = ("trustworthiness", "continuity", "label accuracy")
"""Terms of the glossary, a row each."""

STATES = {"tokens": "tokens", "mean": "sentences, mean", "last": "sentences, last token"}
"""What a state is of."""

_NONE_HELD = (
    "No points were held out: whole passages are, and one would have been more than the share."
)


@dataclass(frozen=True, slots=True)
class Column:
    """The measures of some points of a picture.

    `values` has a number for each of `MEASURES`, not a number where there is none; then `missing`
    says why in a word or two. `about` says of how many points.
    """

    picture: str
    points: str
    values: tuple[float, float, float]
    missing: tuple[str, str, str]
    about: str

    def said(self, row: int) -> str:
        """What stands in the cell."""
        value = self.values[row]
        return f"{value:.3f}" if math.isfinite(value) else self.missing[row]


def columns(drawn: PictureResult) -> tuple[Column, ...]:
    """The measures of a picture, of its fitted and its held-out points, and beside them PCA's."""
    pairs = [(drawn.title, drawn.fitted_quality, drawn.held_out_quality)]
    if drawn.projection != "pca":
        pairs.append(("PCA", drawn.pca_fitted_quality, drawn.pca_held_out_quality))
    return tuple(
        _column(title, points, quality, drawn)
        for title, fitted, held in pairs
        for points, quality in (("fitted", fitted), ("held out", held))
    )


def _column(title: str, points: str, quality: Quality | None, drawn: PictureResult) -> Column:
    if quality is None:
        nan, none = math.nan, "none"
        return Column(title, points, (nan, nan, nan), (none, none, none), _NONE_HELD)
    few = "too few"
    label = "one label" if len(set(drawn.labels[~drawn.held_out].tolist())) < 2 else few
    about = (
        f"{quality.points:,} of {quality.of:,} {points} points, k = {quality.neighbours}; "
        f"labels of {quality.judged:,}, k at most 10."
    )
    values = (quality.trustworthiness, quality.continuity, quality.accuracy)
    return Column(title, points, values, (few, few, label), about)
