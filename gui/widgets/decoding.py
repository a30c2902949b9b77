"""Decoding beside the map of a latent space: what the mouse points at, and walks through it.

The point under study is one that is held: a click on the map holds what lies there, and so do a
token that is selected, a slider and a cell of the walk. The mouse shows others in passing.

The point and the walk ask one question at a time. A newer one waits in the window until the last is
answered, so that a moving mouse neither starves the picture nor fills a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import cast

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPointF, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QWidget

from engine.latent.paths import Point, centre
from engine.latent.values import DecodeQuery, DecodeResult
from engine.types import Ints, LatentResult, Snapshot, Token
from gui import theme
from gui.session import Session
from gui.widgets.decode_bars import said
from gui.widgets.decode_marks import DecodeMarks
from gui.widgets.decode_side import TOKENS, DecodeSide
from gui.widgets.faders import REACH
from gui.widgets.latent_plane import into_picture, into_space, same_space
from gui.widgets.nearest_texts import nearest_texts
from gui.widgets.one_at_a_time import OneAtATime
from gui.widgets.scatter import ScatterMap
from gui.widgets.walk_row import WalkRow
from gui.widgets.walks import ABOUT, KINDS, STEPS, Ground, Kind, Walk, walk

_FORMULA = (
    "<p>A point z of the space → the VAE's decoder → a state x̂ = dec(z), put in place of the state "
    "of the selected token (else of the last) → the model's own next layers and head → "
    "p(next | x̂), what follows that token. The context is not run again.</p>"
)
_AIM = "Move the mouse over the map to decode what lies there; a click holds the point."
_AIM_AT_DOT = (
    "UMAP bends the space, so that a place between the dots stands for no one point: point at a "
    "dot to decode that reference state's μ, or select a token."
)
_NO_POINT = (
    "Click the map, select a token or choose a cell of a walk: the model goes on from there."
)
_SILENT = "This model predicts no next token, so it writes nothing."
_SLIDERS, _CLICK, _TOKEN = "the sliders", "the held point", "the token's μ"


@dataclass(frozen=True, slots=True)
class Source:
    """A point under study: of which layer's space, for which token, and what it is called.

    `before` is the text up to that token.
    """

    layer: int
    point: Point
    position: int | None
    where: str
    before: str


class Decoding(QObject):
    """The controls of decoding, what they ask for, and where the answers are shown.

    Attributes
    ----------
    toggle, way : QCheckBox, QComboBox
        Whether the mouse decodes, and which walk is shown; for the view's head.
    side, foot : QWidget
        Tokens, texts, writing and sliders, for beside the map; the walk, for below it.
    """

    changed = Signal()
    """There is another question to ask."""

    def __init__(self, session: Session, plot: ScatterMap, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._map = session, plot
        self._latent: LatentResult | None = None
        self._text = ""
        self._tokens: Sequence[Token] = ()
        self._base: Point = ()
        self._held: Point | None = None
        self._where = ""
        self._hover: Point | None = None
        self._pressed: QPointF | None = None
        self._cell = -1
        self._groups: tuple[Point | None, Point | None] = (None, None)
        self._path = Walk()
        self._paths: dict[tuple[Point, ...], Walk] = {}  # those that are asked for
        self._mouse, self._walk = OneAtATime(), OneAtATime()
        self._waiting: set[DecodeQuery] = set()
        self.toggle = QCheckBox("decode")
        self.toggle.setFont(theme.ui_font(theme.SMALL))
        self.toggle.setAccessibleName("Decode the point under the mouse")
        self.toggle.setToolTip(
            "<p>Say what the model would say next if the state were the one under the mouse; a "
            "click holds that point, marked by a cross. Dimensions the picture does not show are "
            "those of the selected token's μ, else 0.</p>" + _FORMULA
        )
        self.way = QComboBox()
        self.way.setFont(theme.ui_font(theme.SMALL))
        for text, kind in KINDS:
            self.way.addItem(text, kind)
        self.way.setAccessibleName("Walk through the latent space")
        self.way.setToolTip(ABOUT + _FORMULA)
        self.side = DecodeSide()
        self.bars, self.faders = self.side.bars, self.side.faders
        self.writing = self.side.writing
        self.bars.setToolTip(_FORMULA)
        self.faders.explain(
            "<p>A coordinate of z; under the prior N(0, I) nearly all lie within ±3. Click one to "
            "choose the dimension, drag it to move the point.</p>"
        )
        self.foot = WalkRow()
        self.strip = self.foot.strip
        self.strip.explain(_FORMULA)
        self.marks = DecodeMarks(plot)
        self.toggle.toggled.connect(self.refresh)
        self.way.activated.connect(self._change_way)
        self.side.tabs.currentChanged.connect(self.refresh)
        self.faders.moved.connect(self._move)
        self.faders.picked.connect(self._pick)
        self.strip.clicked.connect(self._choose)
        self.foot.drawn.connect(self.refresh)
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
        """Take where the tokens lie now; in another space nothing that was held is true."""
        before, self._latent = self._latent, result
        if before is not None and not same_space(before, result):
            self._held, self._hover, self._cell = None, None, -1
            self._groups = (None, None)
        self.refresh()

    def set_groups(self, first: Point | None, second: Point | None) -> None:
        """Take the means of μ, Z numbers each, of two groups of tokens or states."""
        if (first, second) != self._groups:
            self._groups = (first, second)
            self.refresh()

    def add_group(self, tokens: Sequence[int] | Ints, cloud: Sequence[int] | Ints) -> None:
        """Take a group of tokens and reference states, by index; the walk is from the one before.

        An empty group leaves the two there are.
        """
        latent = self._latent
        if latent is None:
            return
        parts = [latent.mu[np.asarray(tokens, dtype=np.int64)]]
        if latent.reference_mu is not None:
            parts.append(latent.reference_mu[np.asarray(cloud, dtype=np.int64)])
        mu = np.concatenate(parts)  # (n, Z)
        if len(mu) and (added := centre(mu, range(len(mu)))) != self._groups[1]:
            self.set_groups(self._groups[1], added)

    def take(self, snapshot: Snapshot) -> None:
        """Show what `snapshot` answers, and ask what came up meanwhile."""
        self._text, self._tokens = snapshot.request.text, snapshot.tokens
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
        self._held, self._hover, self._cell = None, None, -1
        self._groups = (None, None)
        self._mouse, self._walk = OneAtATime(), OneAtATime()
        self._waiting.clear()
        self.refresh()

    # --- the point under study -------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        """Which walk is chosen."""
        return cast(Kind, self.way.currentData())

    @property
    def _active(self) -> bool:
        """Whether anything is decoded."""
        return self.kind != "none" or self.toggle.isChecked()

    @property
    def source(self) -> Source | None:
        """The point that is held; None where there is none."""
        latent, point = self._latent, self._studied()
        if latent is None or point is None:
            return None
        index = self._session.selected
        before = self._session.text
        if index is not None and index < len(self._tokens):
            before = self._text[: self._tokens[index].end]
        return Source(latent.layer, point, index, self._where or _SLIDERS, before)

    def _studied(self) -> Point | None:
        # The sliders always stand somewhere.
        return self._held or (self._base or None if self.kind == "dimension" else None)

    def _hold(self, point: Point, where: str, cell: int = -1) -> None:
        self._held, self._where, self._cell = point, where, cell

    def _selected(self) -> Point:
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

    # --- what is wanted --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring sliders, walk and what is asked in line with the choices."""
        kind, base = self.kind, self._selected()
        if base != self._base:
            self._base = base
            if self._session.selected is not None and base:
                self._hold(base, _TOKEN)
        if not self.toggle.isChecked():
            self._hover = None
        chosen = self.faders.chosen if self.faders.chosen < len(base) else 0
        self.faders.set_values(self._held or base, chosen)
        texts = self._latent is not None and bool(self._latent.texts)
        self.side.set_parts(faders=kind == "dimension", texts=texts)
        self.side.setVisible(self._active)
        self.foot.setVisible(kind != "none")
        self.foot.set_drawing(kind == "prior")
        self._refresh_walk()

    def _query(self, points: tuple[Point, ...], count: int) -> DecodeQuery:
        assert self._latent is not None
        index = self._session.selected
        # Told is what follows the token: at the end of the text little is left of its state.
        stop = None if index is None else index + 1
        return DecodeQuery(points, self._latent.layer, index, count, stop)

    def _refresh_walk(self) -> None:
        latent = self._latent
        self._path = Walk()
        if latent is not None:
            self._path = walk(
                self.kind,
                Ground(
                    latent=latent,
                    text=self._text,
                    tokens=self._tokens,
                    selected=self._session.selected,
                    pinned=self._pinned(),
                    groups=self._groups,
                    point=self.faders.values,
                    dimension=self.faders.chosen,
                    seed=self.foot.seed.value(),
                ),
            )
        points = self._path.points
        if 0 <= self._cell < len(points) and self.kind != "dimension":
            self._hold(points[self._cell], self._path.name(self._cell), self._cell)
        self._want(self._walk, self._query(points, 6) if points else None)
        asked = {one.points for one in (self._walk.asked, self._walk.wanted) if one is not None}
        known = {**self._paths, points: self._path}
        self._paths = {key: known[key] for key in asked if key in known}
        if not points:
            self.strip.set_cells((), (), self._path.message)
        self._refresh_point()

    def _refresh_point(self) -> None:
        """Ask for the point that is shown, and tell what can be told of it at once."""
        latent, held = self._latent, self._studied()
        shown = held if self._hover is None else self._hover
        if latent is None or not self._active:
            shown = held = None
        page = self.side.tabs.currentIndex()
        asked = shown if page == TOKENS else None
        self._want(self._mouse, self._query((asked,), 10) if asked is not None else None)
        if shown is None:
            aim = _AIM if latent is None or latent.axes is not None else _AIM_AT_DOT
            self.bars.set_rows((), aim if self.toggle.isChecked() else _NO_POINT)
        if self.side.texts.isVisibleTo(self.side):
            rows = nearest_texts(latent, shown) if latent and shown is not None else ()
            self.side.texts.set_rows(rows)
        self._offer()
        self._mark(held)

    def _offer(self) -> None:
        model, source = self._session.model, self.source
        if model is not None and "next" not in model.provides:
            self.writing.offer(_SILENT, False)
        elif source is None:
            self.writing.offer(_NO_POINT, False)
        else:
            self.writing.offer(f"Press Write: the model goes on from {source.where}.", True)

    def point_at(self, position: QPointF) -> Point | None:
        """The point of the space under a place on the map; None where it cannot be told.

        Dimensions that the picture does not show are those of the selected token's μ, else 0. In a
        picture without axes only the dots stand for points.
        """
        latent, seen = self._latent, self._map.seen
        if latent is None or seen is None:
            return None
        if latent.axes is None:
            dot, mu = self._map.dot_at(position), latent.reference_mu
            known = mu is not None and 0 <= dot < len(mu)
            return tuple(mu[dot].tolist()) if mu is not None and known else None
        here = seen.to_map(position.x(), position.y(), self._map.width(), self._map.height())
        return into_space(latent, self._selected(), here)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the mouse over the map; nothing is done while it is off."""
        kind = event.type()
        if not self.toggle.isChecked():
            return False
        if isinstance(event, QMouseEvent):
            if kind == QEvent.Type.MouseMove and not self._map.panning:
                point = self.point_at(event.position())
                if point is not None:
                    self._hover = point
                    self._refresh_point()
            elif kind == QEvent.Type.MouseButtonPress:
                self._pressed = event.position()
            elif kind == QEvent.Type.MouseButtonRelease and self._pressed is not None:
                moved, self._pressed = event.position() - self._pressed, None
                if moved.manhattanLength() < QApplication.startDragDistance():
                    self._hold_at(event.position())
        elif kind == QEvent.Type.Leave and self._held is not None:
            self._hover = None
            self._refresh_point()
        return False

    def _hold_at(self, position: QPointF) -> None:
        """Hold what lies under a click; where that is a token, its selection holds its μ."""
        point = self.point_at(position)
        if point is not None and self._map.point_at(position) < 0:
            self._hold(point, _CLICK)
            self._hover = None
            self.refresh()

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
        path = self._paths[query.points]
        cells = [said(result, index) for index in range(len(path.points))]
        self.strip.set_cells(cells, path.labels)
        about = f"<p>{escape(path.about)}</p>" if path.about else ""
        reason = f"<p>{result.reason}.</p>" if result.reason else ""
        self.strip.explain(about + reason + _FORMULA)

    def _mark(self, held: Point | None) -> None:
        """Frame the cell that is chosen, and mark what is decoded on the map."""
        index = self._cell
        if self.kind == "dimension" and self.faders.values:
            share = (self.faders.values[self.faders.chosen] / REACH + 1) / 2
            index = round(min(max(share, 0.0), 1.0) * (STEPS - 1))
        self.strip.choose(index)
        latent = self._latent
        place = into_picture(latent, (held,)) if latent and held is not None else []
        way = into_picture(latent, self._path.points) if latent else []
        self.marks.set_places(place[0] if place else None, way, joined=self._path.ordered)

    def _change_way(self) -> None:
        self._cell = -1
        self.refresh()

    def _move(self, dimension: int, value: float) -> None:
        values = list(self.faders.values)
        values[dimension] = value
        self.faders.set_values(values, dimension)
        self._hold(tuple(values), _SLIDERS)
        self._hover = None
        self._refresh_walk()

    def _pick(self, dimension: int) -> None:
        self.faders.set_values(self.faders.values, dimension)
        self._refresh_walk()

    def _choose(self, cell: int) -> None:
        if self.kind == "dimension" and self.faders.values:
            self._move(self.faders.chosen, REACH * (2 * cell / (STEPS - 1) - 1))
        elif 0 <= cell < len(self._path.points):
            self._hold(self._path.points[cell], self._path.name(cell), cell)
            self._hover = None
            self._refresh_point()
