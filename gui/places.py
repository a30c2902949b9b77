"""At which layer and head a model is first shown."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject

from engine.types import ModelInfo
from gui.session import Session
from gui.settings import Settings


class Places(QObject):
    """Brings a session to a layer and head worth looking at when another model comes.

    A model is shown where the user left it last time; else where the user is now, having chosen
    a layer; else a third of the way up, where attention is most telling.

    Parameters
    ----------
    session : Session
        What is brought there.
    settings : Settings
        Which model was left where.
    """

    def __init__(self, session: Session, settings: Settings, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._left: tuple[str, int, int | None] | None = None
        if settings.layer is not None:
            self._left = (settings.model, settings.layer, settings.head)
        self._goal: tuple[int, int | None] | None = None
        self._chosen = False
        session.modelChanged.connect(self._go)
        session.layerChanged.connect(self._note)
        session.headChanged.connect(self._note)

    @property
    def settled(self) -> bool:
        """Whether the session's place is the user's, and not that of a model still awaited."""
        return self._left is None

    def enter(self, spec: str, model: ModelInfo, switch: Callable[[ModelInfo], None]) -> None:
        """Let `switch` hand over to `model`, opened as `spec`, and go to its place."""
        session = self._session
        if self._left is not None and self._left[0] == spec:
            self._goal, self._left, self._chosen = self._left[1:], None, True
        else:
            layer = session.layer if self._chosen else model.layers // 3
            self._goal = (layer, session.head)
        switch(model)
        self._go()  # a session's first model is put to a place of its own
        self._goal = None

    def _go(self) -> None:
        # At once when the model changes, so that nothing is asked of it at another model's layer.
        if self._goal is not None:
            self._session.set_layer(self._goal[0])
            self._session.set_head(self._goal[1])

    def _note(self) -> None:
        if self._goal is None and self._session.model is not None:
            self._chosen, self._left = True, None
