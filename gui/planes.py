"""What latent spaces, their planes and axes are called, on the screen and in print."""

from __future__ import annotations

from engine.types import LatentResult, ModelInfo, Pooling

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


SENTENCES: dict[Pooling, str] = {"mean": "sentences (mean)", "last": "sentences (last token)"}
"""What the spaces of sentence states are called."""


def layers_of(model: ModelInfo, states: Pooling) -> tuple[int, ...]:
    """The layers for which there is a latent space of such states."""
    if states == "tokens":
        return model.latent_layers
    return tuple(layer for layer, pooling in model.sentence_spaces if pooling == states)


def states_of(model: ModelInfo, wanted: Pooling) -> Pooling:
    """Whose states to show: as wanted, but of sentences where there is nothing else."""
    if wanted == "tokens" and not model.latent_layers and model.sentence_spaces:
        return model.sentence_spaces[0][1]
    return wanted


def dimension(index: int) -> str:
    """What the dimension `index`, counted from 0, is called."""
    return "z" + str(index + 1).translate(_SUBSCRIPTS)


def own_is_plain(result: LatentResult) -> bool:
    """Whether a space's own plane is μ's first two dimensions, and not its principal components."""
    said = str(result.card.get("plane", ""))
    return result.mu.shape[-1] == 2 or said.startswith("first two dimensions")


def axis_names(result: LatentResult) -> tuple[str, str]:
    """What the axes of the plane that is shown are called, across and up."""
    plane = result.plane
    if plane == "own":
        plane = (0, 1) if own_is_plain(result) else "components"
    if isinstance(plane, tuple):
        return dimension(plane[0]), dimension(plane[1])
    return "PC 1 of μ", "PC 2 of μ"


def said(result: LatentResult) -> str:
    """The plane that is shown, for a caption."""
    across, up = axis_names(result)
    return "first two PCs" if across.startswith("PC") else f"{across} and {up}"
