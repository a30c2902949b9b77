"""What a view is. A new one is one file in gui/views/ with a `View` class and a `VIEW` record."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

import gui.views
from engine.types import Query, Snapshot
from gui.figures.spec import FigureOptions
from gui.session import Session

Area = Literal["left", "right"]


class View(QWidget):
    """A picture of a snapshot.

    `queries` says what the view needs and `render` draws what came; the two never mix. A view is
    asked for its queries only while it is visible, and renders only snapshots that answer them.

    Parameters
    ----------
    session : Session
        The user's choices; the view reads them and sets them, and connects to their signals.
    """

    queriesChanged = Signal()
    """The view now needs something else than before (its own control changed, say)."""
    captionChanged = Signal()
    """The panel's title is another, without an answer having been drawn."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session

    def queries(self) -> tuple[Query, ...]:
        """Say what this view needs to be drawn, given the session as it is now."""
        raise NotImplementedError

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw `snapshot`, which answers `queries` or says in `refused` why it does not."""
        raise NotImplementedError

    def render_tokens(self, snapshot: Snapshot) -> None:
        """Draw what is known before the model has run: how the text was cut into tokens.

        The answers come in a later snapshot. Most views have nothing to draw without them.
        """

    @property
    def says_why(self) -> bool:
        """Whether it shows itself why there is no answer, so that its panel need not repeat it."""
        return False

    def caption(self) -> str:
        """What is shown, in the field's words, with layer and head; stands in the panel's title."""
        return ""

    def figure_options(self) -> FigureOptions:
        """What a figure of this view shall show, so that it shows what the screen shows."""
        session = self.session
        return FigureOptions(
            layer=session.layer,
            head=session.head,
            stack=session.shown_stack,
            scaling=session.scaling,
        )


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """A view's entry in the menus, the docks and the tests.

    Parameters
    ----------
    key : str
        Stable name, also that of its figure in gui/figures/ and of ``export --view``.
    title : str
        What the panel is called.
    about : str
        One or two sentences with the formula: what the picture means. Shown by the panel's ⓘ.
    empty : str
        What an empty panel says: what it is for and what to do.
    needs : frozenset of str
        What the model must provide (see `ModelInfo.provides`).
    shortcut : str
        Key sequence that shows the view and gives it the focus.
    area : {"left", "right"}
        Where it stands at first; `order` within the area, from the top.
    create : callable
        Makes the view for a session.
    tab : str
        Key of the view behind whose dock this one is tabbed at first, if any.
    shown : bool
        Whether it is there on the first start.
    """

    key: str
    title: str
    about: str
    empty: str
    needs: frozenset[str]
    shortcut: str
    area: Area
    order: int
    create: Callable[[Session], View]
    tab: str = ""
    shown: bool = True


@cache
def view_specs() -> tuple[ViewSpec, ...]:
    """Find every view there is, by area and order.

    Raises
    ------
    TypeError
        If a module in gui/views/ has no `VIEW` record.
    """
    specs = []
    for module in pkgutil.iter_modules(gui.views.__path__, "gui.views."):
        spec = getattr(importlib.import_module(module.name), "VIEW", None)
        if not isinstance(spec, ViewSpec):
            raise TypeError(f"{module.name} has no VIEW record")
        specs.append(spec)
    return tuple(sorted(specs, key=lambda spec: (spec.area, spec.order, spec.key)))
