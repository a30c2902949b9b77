"""The publication style: white ground, even colour maps, sizes in inches, text that stays text.

Everything here goes through matplotlib's objects. Its global settings are set for the length of a
`context` only and then put back, so a plot that someone draws beside this program is not touched,
and a user's own matplotlibrc does not change an exported figure.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.types import Floats, ModelInfo, Stack
from gui.figures import lettering
from gui.figures.colour import INK, MUTED
from gui.figures.numbers import block_extreme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

PATH = "#7d2a10"
"""The colour of the last token on the context's path."""

DPI = 150
"""Pixels an inch of a PNG at scale 1."""

TITLE, TEXT, SMALL = 9.0, 7.5, 6.5
"""The three sizes of type, in points."""

MARGIN = 0.12
"""White round everything, in inches."""

LABEL_PITCH = 0.098
"""Inches from one axis label to the next, at least."""

_LOCK = threading.RLock()

_CELLS_AS_OUTLINES = 4096
PIXELS = 1000
"""Cells a side an image has at most; beyond, neighbours share one."""

_SETTINGS: dict[Any, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": TEXT,
    "axes.linewidth": 0.6,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.titlesize": TITLE,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 0.8,
    # Tokens are words: a dollar sign in one must not start a formula.
    "text.parse_math": False,
    # Text stays text: it can be searched, edited and read aloud, and the file stays small.
    "svg.fonttype": "none",
    # Element ids come from this salt, so that the same numbers give the same bytes.
    "svg.hashsalt": "contextscope",
}


@contextmanager
def context(texts: Iterable[str] = ()) -> Iterator[None]:
    """Draw and save in the publication style within the block.

    Parameters
    ----------
    texts : iterable of str
        What will be written, so that fonts are at hand for scripts DejaVu does not have.
    """
    import matplotlib

    fallback = lettering.families(texts)
    # Type 42 keeps TrueType outlines, as publishers ask; CFF outlines are only drawn as type 3.
    cff = any(lettering.has_postscript_outlines(family) for family in fallback)
    # The settings are the whole process's: two threads may not draw at once.
    with _LOCK, matplotlib.rc_context(), _quiet():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                **_SETTINGS,
                "pdf.fonttype": 3 if cff else 42,
                "font.family": [lettering.SANS, *fallback],
                "font.monospace": [lettering.MONO, lettering.SANS, *fallback],
            }
        )
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep matplotlib from logging that a script's font has no bold face: it is drawn regular."""
    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def mono() -> list[str]:
    """The families that tokens are written in, within a `context`."""
    import matplotlib

    return list(matplotlib.rcParams["font.monospace"])


# --- places, in inches from the top left ---------------------------------------------------------


def sized(figure: Figure, width: float, height: float, title: str, about: str = "") -> None:
    """Size the figure, widened if its title needs it, and write the title.

    `about` is a second, quieter line under the title.
    """
    needed = max(
        lettering.width(title, TITLE, mono=False, bold=True),
        lettering.width(about, TEXT, mono=False),
    )
    figure.set_size_inches(max(width, needed + 0.06 + 2 * MARGIN), height)
    write(figure, MARGIN, MARGIN, title, size=TITLE, weight="bold", va="top")
    if about:
        write(figure, MARGIN, MARGIN + 0.17, about, color=MUTED, va="top")


def title_height(about: str = "") -> float:
    """Inches from the top that the title, and the line `about` if there is one, take."""
    return MARGIN + (0.40 if about else 0.24)


def write(figure: Figure, left: float, top: float, text: str, **how: Any) -> None:
    """Write `text` with its anchor `left` and `top` inches from the figure's corner."""
    width, height = figure.get_size_inches()
    settings = {"fontsize": how.pop("size", TEXT), **how}
    figure.text(left / width, 1 - top / height, text, **settings)


def axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes of the given size, `left` and `top` inches from the figure's corner."""
    whole, high = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / high, width / whole, height / high))


def reading_order() -> Colormap:
    """Colours for positions in the text: the first token light, the last dark."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("reading order", ["#e8a96a", PATH])


def points(
    on: Axes, xy: Floats, labels: Sequence[str], order: NDArray[np.int64] | None = None
) -> None:
    """Draw tokens at their places (T, 2), with their names where these cover nothing.

    `order` (T,) are their positions in the text, 0 to T − 1 unless given.

    Earlier tokens are written first; each may stand right of its point, left, above or below.
    """
    if len(xy) == 1:  # one point has no spread to fit the axes to
        on.set(xlim=(xy[0, 0] - 1, xy[0, 0] + 1), ylim=(xy[0, 1] - 1, xy[0, 1] + 1))
    order = np.arange(len(xy)) if order is None else order
    on.scatter(
        xy[:, 0], xy[:, 1], s=10, linewidths=0, c=order, cmap=reading_order(), vmin=0, zorder=5
    )
    figure = on.get_figure()
    assert figure is not None
    box = on.get_position()
    width, height = figure.get_size_inches() * (box.width, box.height)  # type: ignore[union-attr]
    (x0, x1), (y0, y1) = on.get_xlim(), on.get_ylim()
    inches = (xy - (x0, y0)) / (x1 - x0, y1 - y0) * (width, height)  # (T, 2)
    high, gap = 0.1, 0.045
    taken = np.concatenate([inches - 0.02, inches + 0.02], axis=1)  # left, bottom, right, top
    for (x, y), label in zip(inches, labels, strict=True):
        name = lettering.elide(label, SMALL, 0.9)
        wide = lettering.width(name, SMALL)
        for dx, dy, ha, va in (
            (gap, -high / 2, "left", "center"),
            (-gap - wide, -high / 2, "right", "center"),
            (-wide / 2, gap, "center", "bottom"),
            (-wide / 2, -gap - high, "center", "top"),
        ):
            corner = np.array([x + dx, y + dy, x + dx + wide, y + dy + high])
            inside = (
                corner[0] >= 0 and corner[1] >= 0 and corner[2] <= width and corner[3] <= height
            )
            if inside and not _overlaps(corner, taken):
                taken = np.concatenate([taken, corner[None]])
                shift = (
                    {"left": gap, "right": -gap}.get(ha, 0.0),
                    {"bottom": gap, "top": -gap}.get(va, 0.0),
                )
                on.annotate(
                    name,
                    (x / width, y / height),
                    xycoords="axes fraction",
                    xytext=(72 * shift[0], 72 * shift[1]),
                    textcoords="offset points",
                    ha=ha,
                    va=va,
                    fontsize=SMALL,
                    family=mono(),
                    zorder=6,
                    # An outline round the letters would turn them into paths.
                    bbox={"facecolor": "white", "alpha": 0.7, "pad": 0.4, "linewidth": 0},
                )
                break


def _overlaps(corner: Floats, taken: Floats) -> bool:
    apart = (
        (corner[0] >= taken[:, 2])
        | (corner[2] <= taken[:, 0])
        | (corner[1] >= taken[:, 3])
        | (corner[3] <= taken[:, 1])
    )
    return not bool(apart.all())


def step_for(cell: float, needed: float) -> int:
    """Every how many cells of `cell` inches a label has room for one of `needed` inches."""
    least = max(1, math.ceil(needed / cell - 1e-9))
    # Steps of 1, 2, 5, 10, … as on the screen.
    magnitude: int = 10 ** int(math.log10(least))
    return next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= least)


def label_cells(
    on: Axes, labels: Sequence[str], axis: Literal["x", "y"], extent: float, most: float
) -> int:
    """Name the cells along an axis of `extent` inches, thinned out where they crowd.

    `most` is the longest a label may be, in inches. Returns every how many cells there is one.
    """
    step = step_for(extent / max(1, len(labels)), LABEL_PITCH)
    places = range(0, len(labels), step)
    names = [lettering.elide(labels[place], SMALL, most) for place in places]
    middles = [place + 0.5 for place in places]
    if axis == "x":
        on.xaxis.set_ticks(middles, names, family=mono())
        on.xaxis.set_ticks_position("top")
        on.tick_params(axis="x", rotation=90, length=0, pad=2)
    else:
        on.yaxis.set_ticks(middles, names, family=mono())
        on.tick_params(axis="y", length=0, pad=2)
    return step


def longest(labels: Sequence[str], most: float) -> float:
    """The inches the longest of `labels` takes at an axis, at most `most`."""
    # The longest strings stand for the widest: measuring a thousand tokens would take seconds.
    candidates = sorted(labels, key=lambda label: len(label.encode()), reverse=True)[:8]
    return min(most, max((lettering.width(name, SMALL) for name in candidates), default=0.0))


def cells(
    on: Axes, values: Floats, colours: Colormap, norm: Normalize, outlines: bool = True
) -> QuadMesh | AxesImage:
    """Draw (R, C) with row 0 on top: with `outlines` as such while they are few, else as an image.

    An image has at most 1000 cells a side; beyond, each shows the largest of its block.
    """
    rows, columns = values.shape
    on.set(xlim=(0, columns), ylim=(rows, 0))
    if outlines and rows * columns <= _CELLS_AS_OUTLINES:
        few = max(rows, columns) <= 32
        return on.pcolormesh(
            np.ma.masked_invalid(values),
            cmap=colours,
            norm=norm,
            edgecolors="white" if few else "face",
            linewidth=0.5 if few else 0.1,
        )
    shrunk = block_extreme(values, PIXELS, PIXELS)
    return on.imshow(
        np.ma.masked_invalid(shrunk),
        cmap=colours,
        norm=norm,
        aspect="auto",
        extent=(0, columns, rows, 0),
        interpolation="nearest",
    )


def colour_bar(
    figure: Figure,
    of: ScalarMappable,
    place: tuple[float, float, float],
    says: str,
    extend: Literal["neither", "both", "min", "max"] = "neither",
) -> None:
    """Add a legend of colours with its numbers at `place`: left, top and height in inches."""
    left, top, height = place
    bar = figure.colorbar(
        of,
        cax=axes(figure, left, top, 0.1, height),
        extend=extend,
        # Plain numbers: the formatters for powers of ten write formulas.
        format=lambda value, _: f"{value:.4g}".replace("-", "−"),
    )
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=2, pad=2)
    bar.set_label(says, fontsize=SMALL, labelpad=3)


def of_stack(model: ModelInfo, stack: Stack, what: str) -> str:
    """`what`, with the stack it is of where the model has several."""
    if model.kind != "encoder-decoder":
        return what
    return f"cross-{what}" if stack == "cross" else f"{stack} {what}"


def ordinal(number: int) -> str:
    """``2nd``, ``5th``, ``10th``: of the steps labels are thinned by."""
    return f"{number}{'nd' if number == 2 else 'th'}"


def counted(count: int, what: str) -> str:
    """``1 token``, ``2 tokens``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def heading(model: ModelInfo, *parts: str) -> str:
    """A figure's title: the model, then what is shown."""
    return " · ".join([lettering.drawable(model.title or model.name), *parts])
