"""From what the user chose to what the views draw.

A change becomes a request with the queries of the visible views; a snapshot is drawn by the visible
views whose queries it answers. Hidden views cost nothing: they are drawn when they are shown.

Views draw in turns of the event loop, as many in a turn as take `TURN` together, so that a key
pressed meanwhile need not wait for all of them, and the window need not be painted after each. A
snapshot that comes before all have drawn the last one takes its place: who has not drawn
yet draws the newer one, and the others draw once more after that, so that none is left out however
fast snapshots come.
"""

from __future__ import annotations

import time
from typing import Protocol

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QWidget

from engine.types import ModelInfo, Query, Request, Snapshot
from gui.session import Session
from gui.view import View

TURN = 0.008
"""Seconds of drawing after which the next view waits for the next turn of the event loop."""

_ASK = QEvent.Type(QEvent.registerEventType())
_LOW = Qt.EventPriority.LowEventPriority.value  # that of Qt's own requests to paint


class Asks(Protocol):
    """What the controller needs of a bridge."""

    def submit(self, request: Request) -> None:
        """Take a request."""


class Controller(QObject):
    """Forms requests and hands snapshots to the views.

    Signals
    -------
    rendered(Snapshot)
        All visible views drew it.
    painted(float)
        Milliseconds from the keystroke to the picture of all visible views on the screen.
    viewDrawn(str, Snapshot)
        The view of that key drew a snapshot.

    Attributes
    ----------
    latest : Snapshot or None
        The last answer of the model that is loaded now that all visible views have drawn.
    limit : int or None
        The most tokens to run, None for the engine's own limit.
    clock : callable
        Seconds from some moment on, by which the turns of drawing are measured.
    """

    rendered = Signal(object)
    painted = Signal(float)
    viewDrawn = Signal(str, object)

    def __init__(self, session: Session, bridge: Asks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.latest: Snapshot | None = None
        self.limit: int | None = None
        self.latency_ms = 0.0
        self.clock = time.perf_counter
        self._bridge = bridge
        self._views: dict[str, View] = {}
        self._shown: set[str] = set()
        self._stale: set[str] = set()
        self._newest: Snapshot | None = None
        self._waiting: dict[str, None] = {}  # views that have yet to draw it, in order
        self._ahead: tuple[int, set[str]] = -1, set()  # who drew the quick answers to a request
        self._cut = -1  # of which request's text the tokens were drawn
        self._seq = 0
        self._epoch = 0
        self._asked: tuple[object, ...] = ()
        self._born: float | None = None
        self._window: QWidget | None = None
        self._soon = False
        self._next_turn = QTimer(self)
        self._next_turn.setSingleShot(True)
        self._next_turn.setInterval(0)
        self._next_turn.timeout.connect(self._draw_next)
        session.textChanged.connect(self.ask)  # a keystroke does not wait for the event loop
        for signal in (
            session.targetChanged,
            session.layerChanged,
            session.headChanged,
            session.stackChanged,
            session.selectionChanged,
            session.chatChanged,
        ):
            signal.connect(self._ask_soon)

    def add_view(self, key: str, view: View) -> None:
        """Take a view in; it is hidden until `set_shown` says otherwise."""
        self._views[key] = view
        self._stale.add(key)
        view.queriesChanged.connect(self._ask_soon)

    def watch(self, window: QWidget) -> None:
        """Time the pictures by when `window` has painted them."""
        self._window = window
        window.installEventFilter(self)

    def set_shown(self, key: str, shown: bool) -> None:
        """Tell that a view became visible or hidden."""
        if shown == (key in self._shown) or key not in self._views:
            return
        if not shown:
            self._shown.discard(key)
            return
        self._shown.add(key)
        if key in self._stale and self._newest is not None:
            self._draw(key, self._newest)
        self._ask_soon()

    def set_model(self, model: ModelInfo) -> None:
        """Take a newly loaded model: what was drawn is another one's, so ask anew."""
        self._epoch += 1
        self.latest = self._newest = None
        self._waiting.clear()
        self._next_turn.stop()
        self._stale = set(self._views)
        self.session.set_model(model)
        self._asked = ()
        self.ask()

    def set_limit(self, limit: int | None) -> None:
        """Change the most tokens that are run."""
        self.limit = limit
        self.ask()

    def ask_again(self) -> None:
        """Ask although nothing changed: an answer was lost to a failure or a cancelled load."""
        self._asked = ()
        self.ask()

    def queries(self) -> tuple[Query, ...]:
        """What the visible views need, each thing once."""
        return tuple(
            dict.fromkeys(
                query
                for key, view in self._views.items()
                if key in self._shown
                for query in view.queries()
            )
        )

    def request(self, queries: tuple[Query, ...]) -> Request:
        """Make a request for the text as it is now."""
        self._seq += 1
        return Request(
            seq=self._seq,
            epoch=self._epoch,
            text=self.session.text,
            queries=queries,
            target=self.session.target or None,
            limit=self.limit,
            born=time.perf_counter(),
            chat=self.session.chats,
        )

    def ask(self) -> None:
        """Ask for what is visible, unless just that was asked already."""
        self._soon = False
        session = self.session
        if session.model is None:
            return
        queries = self.queries()
        wanted = (
            *(self._epoch, session.text, session.target, session.chats),
            *(self.limit, queries),
        )
        if wanted == self._asked:
            return
        self._asked = wanted
        self._bridge.submit(self.request(queries))

    def take(self, snapshot: Snapshot) -> None:
        """Draw a snapshot, if it is of the model that is loaded now."""
        if snapshot.request.epoch != self._epoch:
            return
        if snapshot.more:
            self._take_early(snapshot)
            return
        self._newest = snapshot
        (seq, drawn), self._ahead = self._ahead, (-1, set())
        self._stale = set(self._views) - (drawn if seq == snapshot.request.seq else set())
        self.session.clamp_to(len(snapshot.tokens))
        # Who waits already keeps its place before those who have drawn lately.
        self._waiting.update(dict.fromkeys(key for key in self._views if key in self._shown))
        self._draw_next()

    def _take_early(self, snapshot: Snapshot) -> None:
        """Let views draw that ask for nothing but what was quick, while the rest is worked out."""
        if self._waiting:
            return  # they have not drawn the last one yet, and draw all of this one in its place
        seq, drawn = self._ahead
        if seq != snapshot.request.seq:
            drawn = set()
            self._ahead = snapshot.request.seq, drawn
        self.session.clamp_to(len(snapshot.tokens))
        first, self._cut = self._cut != snapshot.request.seq, snapshot.request.seq
        for key, view in self._views.items():
            if key not in self._shown or key in drawn:
                continue
            queries = view.queries()
            if queries and all(q in snapshot.results or q in snapshot.refused for q in queries):
                view.render_snapshot(snapshot)
                drawn.add(key)
                self.viewDrawn.emit(key, snapshot)
            elif first:
                view.render_tokens(snapshot)

    def _draw_next(self) -> None:
        """Let views draw for a while, and the others in the next turn."""
        snapshot = self._newest
        if snapshot is None:
            return
        begun = self.clock()
        # One that was hidden, or was shown and drawn then, has nothing to do any more.
        while self._waiting:
            key = next(iter(self._waiting))
            del self._waiting[key]
            if key in self._shown and key in self._stale:
                self._draw(key, snapshot)
                if self.clock() - begun >= TURN:
                    break
        if self._waiting:
            self._next_turn.start()
            return
        self._next_turn.stop()
        self.latest = snapshot
        self._born = snapshot.request.born
        self.rendered.emit(snapshot)
        if self._window is not None:
            # What changed may all be painted by now; then this event comes with nothing to paint.
            QCoreApplication.postEvent(self._window, QEvent(QEvent.Type.UpdateRequest), _LOW)

    def _ask_soon(self) -> None:
        """Ask once: several choices that change together (layer and head) make one request.

        An event comes before what is painted of the choice itself, where a timer would come after.
        """
        if not self._soon:
            self._soon = True
            QCoreApplication.postEvent(self, QEvent(_ASK))

    def event(self, event: QEvent) -> bool:
        """Ask now, if nobody has asked meanwhile."""
        if event.type() != _ASK:
            return super().event(event)
        if self._soon:
            self.ask()
        return True

    def _draw(self, key: str, snapshot: Snapshot) -> None:
        view = self._views[key]
        # A view that has come to want something else meanwhile waits for the answer to that.
        if all(q in snapshot.results or q in snapshot.refused for q in view.queries()) or (
            not snapshot.tokens
        ):
            view.render_snapshot(snapshot)
            self._stale.discard(key)
            self.viewDrawn.emit(key, snapshot)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Note when the window has painted what a snapshot changed."""
        if event.type() == QEvent.Type.UpdateRequest and self._born is not None:
            # The window paints while it handles this event; the timer fires once it has.
            born, self._born = self._born, None
            QTimer.singleShot(0, self, lambda: self._tell(born))
        return False

    def _tell(self, born: float) -> None:
        self.latency_ms = (time.perf_counter() - born) * 1e3
        self.painted.emit(self.latency_ms)
