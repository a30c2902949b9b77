"""What the planes of a latent space and their axes are called, on the screen and in print."""

from __future__ import annotations

from engine.types import LatentResult

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


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
