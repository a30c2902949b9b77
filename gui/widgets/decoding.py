"""Decoding beside the map of a latent space: what the mouse points at, and walks through it.

Each of the two asks one question at a time. A newer one waits in the window until the last is
answered, so that a moving mouse neither starves the picture nor fills a queue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPointF, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QSizePolicy, QVBoxLayout, QWidget

from engine.latent.paths import between, traversal
from engine.types import DecodeQuery, DecodeResult, LatentResult, Snapshot
from gui import theme
from gui.session import Session
from gui.widgets.decode_bars import DecodeBars, DecodeStrip, said
from gui.widgets.faders import REACH, Faders, coordinate
from gui.widgets.scatter import ScatterMap

STEPS = 9
"""Points of a walk."""

_FORMULA = (
    "<p>A point z of the space → the VAE's decoder → a state x̂ = dec(z), put in place of the state "
    "of the selected token (else of the last) → the model's own next layers and head → "
    "p(next | x̂). The context is not run again.</p>"
)
_AIM = "Move the mouse over the map to decode what lies there."
_PAIR = "Select a token, then pin another (Shift and a click): the walk goes between the two."


@dataclass(slots=True)
class OneAtATime:
    """A question that is under way, and the one that shall follow it."""

    asked: DecodeQuery | None = None
    wanted: DecodeQuery | None = None

    def want(self, query: DecodeQuery | None, *, waiting: bool) -> bool:
        """Take a newer question; whether it is to be asked now.

        With `waiting` the last one has no answer yet, and this one is kept back.
        """
        if query == self.wanted:
            return False
        self.wanted = query
        if waiting and self.asked is not None and query is not None:
            return False
        self.asked = query
        return True


class Decoding(QObject):
    """The controls of decoding, what they ask for, and where the answers are shown.

    Attributes
    ----------
    toggle, way : QCheckBox, QComboBox
        Whether the mouse decodes, and which walk is shown; for the view's head.
    side, strip : QWidget
        The list with the sliders, for beside the map; the walk, for below it.
    """

    changed = Signal()
    """There is another question to ask."""

    def __init__(self, session: Session, plot: ScatterMap, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._map = session, plot
        self._latent: LatentResult | None = None
        self._base: tuple[float, ...] = ()
        self._mouse, self._walk = OneAtATime(), OneAtATime()
        self._waiting: set[DecodeQuery] = set()
        self.toggle = QCheckBox("decode")
        self.toggle.setFont(theme.ui_font(theme.SMALL))
        self.toggle.setAccessibleName("Decode the point under the mouse")
        self.toggle.setToolTip(
            "<p>Say what the model would say next if the state were the one under the mouse. "
            "Dimensions the picture does not show are those of the selected token's μ, else "
            "0.</p>" + _FORMULA
        )
        self.way = QComboBox()
        self.way.setFont(theme.ui_font(theme.SMALL))
        self.way.addItems(["no walk", "along a dimension", "straight to pin", "arc to pin"])
        self.way.setAccessibleName("Walk through the latent space")
        self.way.setToolTip(
            f"<p>A row of decoded points: along one dimension from −{REACH:g} to {REACH:g} (the "
            "others as the sliders say), or from the selected to the pinned token, straight "
            "((1−t)·a + t·b) or on an arc, as (sin((1−t)ω)·a + sin(tω)·b) / sin ω.</p>" + _FORMULA
        )
        self.side = QWidget()
        self.side.setFixedWidth(152)
        self.side.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)
        self.bars = DecodeBars("Tokens the point under the mouse decodes to")
        self.bars.setToolTip(_FORMULA)
        self.faders = Faders("Coordinates of the latent point")
        self.faders.explain(
            "<p>A coordinate of z; under the prior N(0, I) nearly all lie within ±3. Click one to "
            "choose the dimension, drag it to move the point.</p>"
        )
        column = QVBoxLayout(self.side)
        column.setContentsMargins(4, 4, 4, 0)
        column.setSpacing(4)
        column.addWidget(self.bars, 1)
        column.addWidget(self.faders)
        self.strip = DecodeStrip("Tokens along the walk")
        self.strip.explain(_FORMULA)
        self.toggle.toggled.connect(self.refresh)
        self.way.activated.connect(self.refresh)
        self.faders.moved.connect(self._move)
        self.faders.picked.connect(self._pick)
        self.strip.clicked.connect(self._choose)
        for signal in (session.selectionChanged, session.pinsChanged, session.rangeChanged):
            signal.connect(self.refresh)
        session.modelChanged.connect(self._forget)
        plot.installEventFilter(self)
        self.refresh()

    # --- question and answer ---------------------------------------------------------------------

    def queries(self) -> tuple[DecodeQuery, ...]:
        """What is under way or to be asked: nothing at all while both are off."""
        return tuple(one.asked for one in (self._mouse, self._walk) if one.asked is not None)

    def set_latent(self, result: LatentResult) -> None:
        """Take where the tokens lie now."""
        self._latent = result
        self.refresh()

    def take(self, snapshot: Snapshot) -> None:
        """Show what `snapshot` answers, and ask what came up meanwhile."""
        for one, show in ((self._mouse, self._show_point), (self._walk, self._show_walk)):
            query = one.asked
            if query is None or not (query in snapshot.results or query in snapshot.refused):
                continue
            self._waiting.discard(query)
            result = snapshot.results.get(query)
            if isinstance(result, DecodeResult):
                show(result, query)
            else:
                show(None, query, snapshot.refused.get(query, ""))
            if one.wanted != query:
                one.asked = one.wanted
                self._ask(one)

    def _ask(self, one: OneAtATime) -> None:
        if one.asked is not None:
            self._waiting.add(one.asked)
        self.changed.emit()

    def _want(self, one: OneAtATime, query: DecodeQuery | None) -> None:
        before = one.asked
        if one.want(query, waiting=before in self._waiting):
            self._waiting -= {before}
            self._ask(one)

    def _forget(self) -> None:
        self._latent, self._base = None, ()
        self._mouse, self._walk = OneAtATime(), OneAtATime()
        self._waiting.clear()
        self.refresh()

    # --- what is wanted --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring sliders, walk and what is asked in line with the choices."""
        along = self.way.currentIndex() == 1
        self.faders.setVisible(along)
        self.bars.setVisible(self.toggle.isChecked())
        self.side.setVisible(along or self.toggle.isChecked())
        self.strip.setVisible(self.way.currentIndex() > 0)
        base = self._selected()
        if base != self._base:
            self._base = base
            chosen = self.faders.chosen if self.faders.chosen < len(base) else 0
            self.faders.set_values(base, chosen)
        if not self.toggle.isChecked():
            self._want(self._mouse, None)
            self.bars.set_rows((), _AIM)
        self._refresh_walk()

    def _selected(self) -> tuple[float, ...]:
        """μ of the selected token, else the prior's mean."""
        if self._latent is None:
            return ()
        mu, index = self._latent.mu, self._session.selected
        if index is not None and index < len(mu):
            return tuple(float(value) for value in mu[index])
        return (0.0,) * int(mu.shape[1])

    def _pinned(self) -> int | None:
        """The other end of a walk between tokens."""
        session = self._session
        range_ = session.range
        ends = {range_[0], range_[1] - 1} if range_ else set()
        others = sorted(session.pinned - {session.selected}) or sorted(ends - {session.selected})
        return others[0] if others else None

    def _query(self, points: tuple[tuple[float, ...], ...], count: int) -> DecodeQuery:
        assert self._latent is not None
        return DecodeQuery(points, self._latent.layer, self._session.selected, count)

    def _refresh_walk(self) -> None:
        way, latent = self.way.currentIndex(), self._latent
        self._mark()
        if way == 0 or latent is None:
            self._want(self._walk, None)
            return
        if way == 1:
            values = np.linspace(-REACH, REACH, STEPS).tolist()
            points = traversal(self.faders.values, self.faders.chosen, values)
        else:
            start, end = self._session.selected, self._pinned()
            if start is None or end is None or max(start, end) >= len(latent.mu):
                self._want(self._walk, None)
                self.strip.set_cells((), (), _PAIR)
                return
            a, b = latent.mu[start].tolist(), latent.mu[end].tolist()
            points = between(a, b, STEPS, spherical=way == 3)
        self._want(self._walk, self._query(points, 6))

    def point_at(self, position: QPointF) -> tuple[float, ...] | None:
        """The point of the space under a place on the map; None where it cannot be told.

        The picture is linear, (z − o)·A with orthonormal columns A, so that a step in it is one
        along A: z = b + A·(xy − xy(b)), with b the selected token's μ or 0.
        """
        latent, seen = self._latent, self._map.seen
        if latent is None or latent.axes is None or seen is None or not len(latent.mu):
            return None
        here = seen.to_map(position.x(), position.y(), self._map.width(), self._map.height())
        axes = latent.axes.astype(np.float64)  # (Z, 2)
        base = np.array(self._selected())  # (Z,)
        at = (base - latent.mu[0]) @ axes + latent.xy[0]  # (2,)
        return tuple((base + axes @ (np.array(here) - at)).tolist())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the mouse over the map; nothing is done while it is off."""
        moved = event.type() == QEvent.Type.MouseMove and isinstance(event, QMouseEvent)
        if moved and self.toggle.isChecked() and not self._map.panning:
            assert isinstance(event, QMouseEvent)
            point = self.point_at(event.position())
            if point is not None:
                self._want(self._mouse, self._query((point,), 10))
        return False

    # --- what is shown ---------------------------------------------------------------------------

    def _show_point(self, result: DecodeResult | None, _: DecodeQuery, why: str = "") -> None:
        if result is None:
            self.bars.set_rows((), why)
            return
        self.bars.set_rows(said(result, 0))
        apart = float(result.divergence[0])
        told = f"<p>KL(p ‖ p′) = {apart:.2f} nat from what the model says by itself.</p>"
        self.bars.setToolTip(
            (told if np.isfinite(apart) else f"<p>{result.reason}.</p>") + _FORMULA
        )

    def _show_walk(self, result: DecodeResult | None, query: DecodeQuery, why: str = "") -> None:
        if result is None:
            self.strip.set_cells((), (), why)
            return
        count = len(query.points)
        if self.way.currentIndex() == 1:
            labels = [coordinate(value) for value in np.linspace(-REACH, REACH, count)]
        else:
            labels = [f"t = {share:.2f}" for share in np.linspace(0, 1, count)]
        self.strip.set_cells([said(result, index) for index in range(count)], labels)
        self.strip.explain((f"<p>{result.reason}.</p>" if result.reason else "") + _FORMULA)

    def _mark(self) -> None:
        """Frame the cell that is nearest to the chosen slider."""
        index = -1
        if self.way.currentIndex() == 1 and self.faders.values:
            share = (self.faders.values[self.faders.chosen] / REACH + 1) / 2
            index = round(min(max(share, 0.0), 1.0) * (STEPS - 1))
        self.strip.choose(index)

    def _move(self, dimension: int, value: float) -> None:
        values = list(self.faders.values)
        values[dimension] = value
        self.faders.set_values(values, dimension)
        self._refresh_walk()

    def _pick(self, dimension: int) -> None:
        self.faders.set_values(self.faders.values, dimension)
        self._refresh_walk()

    def _choose(self, cell: int) -> None:
        if self.way.currentIndex() == 1 and self.faders.values:
            self._move(self.faders.chosen, REACH * (2 * cell / (STEPS - 1) - 1))
        else:
            self.strip.choose(cell)
