"""Lines of a plain text edit: air between them, and where on them tokens stand.

Qt offers a distance of lines only for rich text, and no way to ask where a stretch of text was
drawn.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QTextBlock, QTextDocument, QTextLayout, QTextLine
from PySide6.QtWidgets import QPlainTextDocumentLayout

from gui.widgets.spans import SpanIndex

_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
"""Letters and marks that make a line run from right to left, somewhere."""
_NARROW = 3.0
"""Width of what has none, such as a mark on the letter before it, in pixels."""
_LINE_END = 8.0
"""Width of a line's end, in pixels."""
_ABOVE = 2.0
"""Every line is moved at least this far down: so a line that was moved is told from a fresh one."""


class RoomyLayout(QPlainTextDocumentLayout):
    """Lays lines out `spacing` times as far apart as the document's font would.

    Qt lays a block out when its picture is first asked for and again when it changed; either way
    it then asks for the block's bounding rectangle, and there the lines are moved apart. Baselines
    keep one distance, `pitch` pixels, whichever fonts stand in for missing characters, unless a
    line is taller.
    """

    def __init__(self, document: QTextDocument, spacing: float = 1.32) -> None:
        super().__init__(document)
        # Asking Qt for the document of a layout makes PySide6 6.11 take the layout for its owner,
        # and delete the document with it.
        metrics = QFontMetricsF(document.defaultFont())
        self.pitch = float(math.ceil(metrics.height() * spacing))
        self._air = (self.pitch - metrics.height()) / 2
        self._baseline = self._air + metrics.ascent()

    def blockBoundingRect(self, block: QTextBlock) -> QRectF:
        """Lay `block` out if need be and return its rectangle, the block's own corner at (0, 0)."""
        rectangle = super().blockBoundingRect(block)
        layout = block.layout() if block.isValid() else None
        if layout is None or not layout.lineCount():
            return rectangle
        if layout.lineAt(0).y() < _ABOVE:
            self._move_lines(layout, block.textDirection() == Qt.LayoutDirection.RightToLeft)
            rectangle = super().blockBoundingRect(block)
        return rectangle.adjusted(0, 0, 0, self._air)

    def _move_lines(self, layout: QTextLayout, backwards: bool) -> None:
        top = 0.0
        for number in range(layout.lineCount()):
            line = layout.lineAt(number)
            above = max(_ABOVE, self._baseline - line.ascent())
            # Qt aligns a paragraph that runs from right to left at the left all the same.
            left = line.x() + (max(0.0, line.width() - line.naturalTextWidth()) * backwards)
            line.setPosition(QPointF(left, top + above))
            top += max(self.pitch, above + line.height() + self._air)


def first_line_to(layout: QTextLayout, height: float) -> int:
    """The first line that reaches down to `height`; one paragraph may have thousands of lines."""

    def bottom(number: int) -> float:
        return layout.lineAt(number).rect().bottom()

    return bisect_left(range(layout.lineCount()), height, key=bottom)


def runs_backwards(text: str) -> bool:
    """Whether any of `text` runs from right to left."""
    return not text.isascii() and _RIGHT_TO_LEFT.search(text) is not None


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one token on one line, in the viewport's pixels."""

    token: int
    box: QRectF


def line_pieces(
    block: QTextBlock,
    line: QTextLine,
    corner: QPointF,
    index: SpanIndex,
    metrics: QFontMetricsF,
    mixed: bool = True,
) -> list[Piece]:
    """Where the tokens of a line stand.

    Parameters
    ----------
    block, line : QTextBlock, QTextLine
        A line of a block that was laid out.
    corner : QPointF
        The block's upper left corner on the viewport.
    index : SpanIndex
        The tokens' spans, in UTF-16 units of the document.
    metrics : QFontMetricsF
        Of the document's own font: boxes have one height, whichever fonts stand in.
    mixed : bool
        Whether some of the text may run from right to left; see `runs_backwards`.
    """
    layout = block.layout()
    base = block.position()
    # What an input method composes stands in the layout, but not yet in the document.
    gap = layout.preeditAreaPosition()
    composed = len(layout.preeditAreaText().encode("utf-16-le")) // 2 if gap >= 0 else 0

    def in_layout(unit: int) -> int:
        return unit - base + (composed if composed and unit - base > gap else 0)

    def in_document(unit: int) -> int:
        return base + (max(gap, unit - composed) if composed and unit > gap else unit)

    @cache
    def edge(unit: int) -> float:
        # Where one token ends the next begins, and asking costs more than all the rest here.
        place = line.cursorToX(in_layout(unit))
        # Qt's answer is x and the position, which its Python types know as an object.
        return float(place[0]) if isinstance(place, tuple) else 0.0

    first = in_document(line.textStart())
    last = in_document(line.textStart() + line.textLength())
    # The end of a paragraph is a character too, and may be a token's.
    ends = line.lineNumber() == layout.lineCount() - 1 and block.next().isValid()
    backwards = block.textDirection() == Qt.LayoutDirection.RightToLeft
    top = corner.y() + line.y() + line.ascent() - metrics.ascent()
    tall = metrics.height()
    pieces = []
    for share in index.between(first, last + ends):
        low, high = max(share.start, first), min(share.end, last)
        if low >= high:
            stretches: list[tuple[float, float]] = []
        elif mixed:
            stretches = _glyphs(line, in_layout(low), high - low) or [(edge(low), edge(high))]
        else:
            stretches = [(edge(low), edge(high))]
        if ends and share.end > last:
            end = edge(last)
            stretches.append((end - _LINE_END, end) if backwards else (end, end + _LINE_END))
        for left, right in _joined(stretches):
            width = (right - left) / share.columns
            column = share.columns - 1 - share.column if backwards else share.column
            start = corner.x() + left + column * width
            pieces.append(Piece(share.token, QRectF(start, top, width, tall)))
    return pieces


class PieceKeeper:
    """Where the tokens of lines stand, asked of Qt only where a line or its tokens changed.

    Attributes
    ----------
    laid_out : int
        How many lines were looked at since the beginning.
    """

    MOST = 256
    """Lines that are kept; a screen has fewer."""
    LONGEST = 20_000
    """Units of a paragraph, above which to compare it costs more than it saves."""

    def __init__(self) -> None:
        self.laid_out = 0
        self._kept: dict[tuple[int, int], tuple[tuple[object, ...], list[Piece]]] = {}

    def pieces(
        self,
        block: QTextBlock,
        line: QTextLine,
        corner: QPointF,
        index: SpanIndex,
        metrics: QFontMetricsF,
        mixed: bool,
    ) -> list[Piece]:
        """What `line_pieces` says, which nobody may change."""
        if block.length() > self.LONGEST:
            self.laid_out += 1
            return line_pieces(block, line, corner, index, metrics, mixed)
        layout, start, length = block.layout(), line.textStart(), line.textLength()
        text, base = block.text(), block.position()
        composed = layout.preeditAreaText()
        ends = line.lineNumber() == layout.lineCount() - 1 and block.next().isValid()
        # Elsewhere in a paragraph something may turn a line's direction, but nothing its widths;
        # nor does another paragraph.
        mixed = mixed and (bool(composed) or runs_backwards(text))
        # Python counts characters and Qt units: where those differ, more is compared than need be.
        if not composed and len(text) + 1 == block.length() and not mixed:
            own = text[max(0, start - 2) : start + length + 2]
        else:
            own = text
        key = (
            *(own, composed, layout.preeditAreaPosition(), start, length, ends, mixed),
            *(corner.x(), corner.y(), line.x(), line.y(), line.ascent()),
            *(metrics.ascent(), metrics.height(), block.textDirection()),
            index.fingerprint(base + start, base + start + length + ends, base),
        )
        place = (block.blockNumber(), line.lineNumber())
        kept = self._kept.get(place)
        if kept is None or kept[0] != key or composed:
            self.laid_out += 1
            if len(self._kept) >= self.MOST:
                self._kept.clear()
            kept = key, line_pieces(block, line, corner, index, metrics, mixed)
            self._kept[place] = kept
        return kept[1]


def _glyphs(line: QTextLine, start: int, length: int) -> list[tuple[float, float]]:
    """Left and right of each glyph: neighbours in the text need not be so on the line.

    Where the direction turns, a position has two places, and `QTextLine.cursorToX` knows only one.
    """
    made = []
    for run in line.glyphRuns(start, length):
        advances = run.rawFont().advancesForGlyphIndexes(run.glyphIndexes())
        for place, advance in zip(run.positions(), advances, strict=True):
            made.append((place.x(), place.x() + advance.x()))
    return made


def _joined(stretches: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join what touches; give what has no width a little, so that it can be seen and hit."""
    if len(stretches) == 1 and stretches[0][1] - stretches[0][0] >= _NARROW:
        return stretches
    joined: list[tuple[float, float]] = []
    for left, right in sorted(stretches):
        if joined and left <= joined[-1][1] + 0.5:
            joined[-1] = (joined[-1][0], max(joined[-1][1], right))
        else:
            joined.append((left, right))
    return [
        (left, right) if right - left >= _NARROW else (right - _NARROW, right)
        for left, right in joined
    ]
