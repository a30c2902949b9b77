"""What latent spaces, their planes and axes are called, on the screen and in print."""

from __future__ import annotations

from engine.types import LatentPlane, LatentResult, ModelInfo, Pooling

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


def _plane(result: LatentResult) -> LatentPlane:
    """The plane that is shown; where it is the space's own, which that is."""
    if result.plane != "own":
        return result.plane
    return (0, 1) if own_is_plain(result) else "components"


def axis_names(result: LatentResult) -> tuple[str, str] | tuple[str, str, str]:
    """What the axes that are shown are called: across and up, or those of three directions."""
    plane = _plane(result)
    if plane == "three components":
        return "PC 1", "PC 2", "PC 3"
    if plane == "umap":
        return "UMAP 1 of μ", "UMAP 2 of μ"
    if isinstance(plane, str):
        return "PC 1 of μ", "PC 2 of μ"
    if len(plane) == 3:
        return dimension(plane[0]), dimension(plane[1]), dimension(plane[2])
    return dimension(plane[0]), dimension(plane[1])


def said(result: LatentResult) -> str:
    """The plane that is shown, for a caption."""
    plane = _plane(result)
    if not isinstance(plane, str):
        *first, last = (dimension(index) for index in plane)
        return f"{', '.join(first)} and {last}"
    return {"umap": "UMAP", "three components": "first three PCs"}.get(plane, "first two PCs")
