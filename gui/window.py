"""The window: panels in docks, controls above, a line of state below. Built from tables."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QPaintEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QMainWindow,
    QPlainTextEdit,
    QTabWidget,
    QWidget,
)

from engine.errors import UserError
from engine.models.catalogue import catalogue
from engine.types import (
    Dtype,
    Failure,
    JobDone,
    ModelInfo,
    Progress,
    Request,
    Snapshot,
)
from gui import layout, theme
from gui.actions import Actions
from gui.commands import targets
from gui.companion import Companion
from gui.controller import Controller
from gui.drafter import Drafter
from gui.laborant import Laborant
from gui.mapper import Mapper
from gui.measurer import Measurer
from gui.picturer import Picturer
from gui.places import Places
from gui.precision import measure_at_once
from gui.ranges import RangeKeeper
from gui.saving import Saving, export_choices
from gui.session import Session
from gui.settings import Settings, SettingsFile
from gui.student import Student
from gui.theme import ThemeChoice
from gui.trainer import Trainer
from gui.view import ViewSpec, view_specs
from gui.widgets.panel import Panel
from gui.widgets.status import StatusLine
from gui.widgets.strip import MessageBar
from gui.widgets.toolbar import TopBar
from gui.writer import Writer

if TYPE_CHECKING:
    from gui.bridge import Bridge

PATIENCE_MS = 2000
"""How long after it is shown a window that nobody sees is taken for painted."""

SAVE_AFTER_MS = 1500
"""How long after a change the settings are written, so that a killed program forgets little."""


class _Opening(NamedTuple):
    """A model that is on its way."""

    job: str
    spec: str
    title: str
    device: str
    dtype: Dtype
    remember: bool


class MainWindow(QMainWindow):
    """The program's window.

    Parameters
    ----------
    session : Session
        The user's choices; the window brings them into line with `settings` and back.
    bridge : Bridge
        The way to the engine. The window closes it when it is closed itself.
    settings : Settings
        What was remembered; changed as the user works, and written to `store`.
    store : SettingsFile
        Where they are written.
    """

    firstPainted = Signal()
    """The window stands on the screen for the first time."""

    def __init__(
        self,
        session: Session,
        bridge: Bridge,
        settings: Settings,
        store: SettingsFile,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.bridge = bridge
        self.settings = settings
        self.current_panel: Panel | None = None
        self._store = store
        self._complained = False
        self._opening: _Opening | None = None
        self._current = ("", "")  # spec and title of the model that answers
        self._asked = 0
        self._painted = False
        self._closing = False

        self.setWindowTitle("Contextscope")
        self.setObjectName("window")
        self.controller = Controller(session, self, self)
        self.controller.limit = settings.token_limit
        self.controller.watch(self)
        self.saving = Saving(self)
        self._places = Places(session, settings, self)
        self._ranges = RangeKeeper(session, self)
        self.top = TopBar(partial(targets, self), self)
        self.addToolBar(self.top)
        self.messages = MessageBar(self)
        self.addToolBarBreak()
        self.addToolBar(self.messages)
        self.status = StatusLine(self)
        self.setStatusBar(self.status)
        self.setDockOptions(
            QMainWindow.DockOption.AllowNestedDocks | QMainWindow.DockOption.AllowTabbedDocks
        )
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.panels = {spec.key: self._make_panel(spec) for spec in view_specs()}
        self._picturer = Picturer(self)
        self._measurer = Measurer(self)
        self._laborant = Laborant(self)
        jobs = Trainer(self), Writer(self), Drafter(self), Mapper(self), Student(self)
        self._workers = (*jobs, Companion(self), self._picturer, self._measurer)
        self.commands = Actions(self)
        self._saver = QTimer(self)
        self._saver.setSingleShot(True)
        self._saver.setInterval(SAVE_AFTER_MS)
        self._saver.timeout.connect(self.save_settings)
        self._titles = self._offer_models()
        self._connect()
        self._restore()

    # --- what others ask of it ------------------------------------------------------------------

    @property
    def token_count(self) -> int:
        """How many tokens the context has, as far as it was answered."""
        latest = self.controller.latest
        return len(latest.tokens) if latest is not None else 0

    @property
    def editor(self) -> QPlainTextEdit | None:
        """The field the context is written in."""
        panel = self.panels.get("tokens")
        return panel.view.findChild(QPlainTextEdit) if panel else None

    @property
    def opening(self) -> str:
        """What was asked for and is not there yet; empty if nothing is on its way."""
        return self._opening.spec if self._opening is not None else ""

    @property
    def message(self) -> str:
        """What the message strip says."""
        return self.messages.text

    def say(self, sentence: str) -> None:
        """Tell the user something in the message strip; the last few are kept until closed."""
        self.messages.warn(sentence)

    def remark(self, sentence: str) -> None:
        """Tell the user that something went well; it goes by itself and hides no warning."""
        self.messages.remark(sentence)

    def open_model(
        self, spec: str, remember: bool = True, device: str = "", dtype: Dtype | None = None
    ) -> None:
        """Bring a model and let it answer; the text is kept, and so is the old model until then.

        Parameters
        ----------
        spec : str
            A catalogue name, a hub id, a folder or a file.
        remember : bool
            Whether it is opened again at the next start, if it can be opened now.
        device : str
            Where it shall run; by default where the last one was wanted.
        dtype : Dtype, optional
            What it shall compute in; by default what the last one was to.
        """
        device, dtype = device or self._device, dtype or self.dtype
        self._measurer.stop()
        job = self.bridge.open_model(spec, device, dtype)
        self._opening = _Opening(job, spec, self._titles.get(spec, spec), device, dtype, remember)
        self._show_opening()

    @property
    def _device(self) -> str:
        """Where the user wants models to run."""
        opening = self._opening
        return opening.device if opening and opening.remember else self.settings.device

    @property
    def dtype(self) -> Dtype:
        """What the user wants models to compute in."""
        opening = self._opening
        return opening.dtype if opening and opening.remember else self.settings.dtype

    def set_device(self, device: str) -> None:
        """Run the model elsewhere; the text is kept."""
        self.open_model(self._wanted, device=device)

    def set_dtype(self, dtype: Dtype) -> None:
        """Let the model compute in another type; the text is kept."""
        self.open_model(self._wanted, dtype=dtype)

    @property
    def _wanted(self) -> str:
        return self.opening or self._current[0] or self.settings.model

    def measure_precision(self, unasked: bool = False) -> None:
        """Compare the model with itself in float32; what fails `unasked` is not complained of."""
        self._measurer.start(unasked)

    def set_theme(self, choice: ThemeChoice) -> None:
        """Take other colours, at once and for the next start."""
        self.settings.theme = choice
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, choice)
        self._save_soon()

    def reset_layout(self) -> None:
        """Put every panel where it was on the first start."""
        layout.arrange(self, self.panels)

    def save_settings(self) -> None:
        """Write what is to be remembered, now."""
        self._saver.stop()
        session, settings = self.session, self.settings
        settings.text = session.text
        settings.scaling, settings.chat = session.scaling, session.chat
        settings.contexts = session.contexts
        settings.pinned_range = self._ranges.characters()
        if session.model is not None and self._places.settled:
            settings.layer, settings.head = session.layer, session.head
        settings.geometry, settings.layout = layout.packed(self)
        complaint = self._store.save(settings)
        if complaint and not self._complained:
            self.say(f"{complaint} The program goes on, but will not remember what you change.")
        self._complained = bool(complaint)

    # --- building -------------------------------------------------------------------------------

    def _make_panel(self, spec: ViewSpec) -> Panel:
        view = spec.create(self.session)
        panel = Panel(spec, view, export_choices(spec.key), self)
        self.controller.add_view(spec.key, view)
        panel.visibilityChanged.connect(lambda _visible: self._tell_shown(panel))
        panel.exportRequested.connect(self.saving.run)
        for changed in (panel.visibilityChanged, panel.topLevelChanged, panel.dockLocationChanged):
            changed.connect(self._save_soon)
        return panel

    def _offer_models(self) -> dict[str, str]:
        try:
            entries = catalogue()
        except UserError as error:
            self.say(error.sentence)
            entries = ()
        self.top.set_models([(entry.name, entry.title, entry.about) for entry in entries])
        return {entry.name: entry.title for entry in entries}

    def _connect(self) -> None:
        session, bridge, top = self.session, self.bridge, self.top
        controller, actions = self.controller, self.commands.actions
        for signal, slot in (
            (bridge.snapshotReady, controller.take),
            (bridge.modelLoaded, self._on_model),
            (bridge.failed, self._on_failed),
            (bridge.progressed, self._on_progress),
            (bridge.jobFinished, self._on_job_finished),
            (controller.viewDrawn, self._on_drawn),
            (controller.rendered, self._ranges.take),
            (controller.rendered, self._on_rendered),
            (controller.painted, self._on_painted),
            (controller.painted, self.status.set_latency),
            (session.textChanged, self._save_soon),
            (session.layerChanged, self._show_place),
            (session.headChanged, self._show_place),
            (session.stackChanged, self._show_place),
            (session.scalingChanged, self._on_choice),
            (session.chatChanged, self._on_choice),
            (session.contextsChanged, self._on_choice),
            (session.selectionChanged, self._on_choice),
            (session.rangeChanged, self._on_choice),
            (top.modelChosen, self.open_model),
            (top.openRequested, actions["model.open"].trigger),
            (top.deviceChosen, self.set_device),
            (top.layerChosen, session.set_layer),
            (top.headChosen, session.set_head),
            (top.goto.left, self._focus_editor),
            (top.themeToggled, actions["view.theme.toggle"].trigger),
            (self.status.cancelRequested, bridge.cancel_job),
        ):
            signal.connect(slot)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._on_focus)

    def _restore(self) -> None:
        settings = self.settings
        self.session.set_scaling(settings.scaling)
        self.session.set_chat(settings.chat)
        self.session.set_contexts(*settings.contexts)
        self._ranges.restore(settings.pinned_range)
        self.top.set_device(settings.device)
        layout.restore(self, self.panels, settings.geometry, settings.layout)
        self.messages.refresh()
        self.top.show()

    # --- what happens ---------------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Pass the controller's request on, and start waiting for its answer."""
        self._asked = request.seq
        self.status.expect()
        for panel in self.panels.values():
            if panel.isVisible():
                panel.expect()
        self.bridge.submit(request)

    def _on_drawn(self, key: str, snapshot: Snapshot) -> None:
        self.panels[key].take(snapshot)

    def _on_rendered(self, snapshot: Snapshot) -> None:
        self.status.settle()
        if snapshot.request.seq != self._asked:
            self.status.expect()
        self.status.set_stats(len(snapshot.tokens), snapshot.stats)

    def _on_painted(self, _ms: float) -> None:
        self.commands.refresh()  # what the menus offer can wait until the picture is there

    def _on_failed(self, failure: Failure) -> None:
        if any(worker.owns(failure) for worker in self._workers):
            self.status.clear_progress(failure.job)
            return
        if failure.seq is None:
            self._end_opening(failure.job)
            stays = self.session.model
            self.say(f"{failure.sentence} {stays.title} stays open." if stays else failure.sentence)
            # Loading may have ended a pass whose answer is still awaited.
            self.controller.ask_again()
            return
        if failure.seq == self._asked:
            self.status.fail()
            for panel in self.panels.values():
                if panel.isVisible():
                    panel.fail(failure.sentence)

    def _on_progress(self, progress: Progress) -> None:
        self.status.set_progress(progress)
        self.commands.refresh()

    def _on_job_finished(self, done: JobDone) -> None:
        self._end_opening(done.job)
        if done.cancelled and not done.job.startswith("write "):
            # Loading may have ended a pass whose answer is still awaited.
            self.controller.ask_again()

    def _end_opening(self, job: str | None) -> None:
        self.status.clear_progress(job)
        if self._opening is not None and job in (None, self._opening.job):
            self._opening = None
        self._show_opening()

    def _show_opening(self) -> None:
        opening = self._opening
        self.top.set_model(*((opening.spec, opening.title) if opening else self._current))
        self.top.set_device(self._device)
        self.commands.refresh()

    def _on_model(self, info: ModelInfo) -> None:
        opening, spec = self._opening, info.name
        if opening is not None and info.name not in self._titles:
            spec = opening.spec  # a hub's id, a folder or a file, which has a name of its own
        if opening is not None and opening.remember and opening.spec == spec:
            self.settings.model, self.settings.device = spec, opening.device
            self.settings.dtype = opening.dtype
            self.settings.remember_model(spec)
        self._current = (spec, info.title)
        self._places.enter(spec, info, self.controller.set_model)
        self.status.set_model(info)
        if measure_at_once(info):
            self.measure_precision(unasked=True)
        for panel in self.panels.values():
            panel.set_model(info)
            self._tell_shown(panel)
        self._show_place()

    def take_provided(self, info: ModelInfo) -> None:
        """Take what the model at hand provides now, a space that was made of it say."""
        self.session.model = info
        self.session.modelChanged.emit(info)
        for panel in self.panels.values():
            panel.set_model(info)
            self._tell_shown(panel)
        self.controller.ask_again()

    def _show_place(self) -> None:
        session = self.session
        self.top.layer.set_range(session.depth)
        self.top.head.set_range(session.heads - 1)
        self.top.layer.set_value(session.layer)
        self.top.head.set_value(session.head)
        self._on_choice()

    def _on_choice(self) -> None:
        for panel in self.panels.values():
            panel.refresh_caption()
        self.commands.refresh()
        self._save_soon()

    def _on_focus(self, _old: QWidget | None, now: QWidget | None) -> None:
        for panel in self.panels.values():
            if now is not None and panel.isAncestorOf(now):
                self.current_panel = panel

    def _focus_editor(self) -> None:
        if self.editor is not None:
            self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def _tell_shown(self, panel: Panel) -> None:
        shown = panel.applicable and panel.isVisible() and not self._closing
        self.controller.set_shown(panel.spec.key, shown)

    def _save_soon(self) -> None:
        if not self._closing:
            self._saver.start()

    # --- Qt -------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Give the focus to the context on the first showing."""
        super().showEvent(event)
        if not self._painted:
            self._focus_editor()
            # A window that is covered at once may wait for long to be painted; the engine must not.
            QTimer.singleShot(PATIENCE_MS, self, self._tell_first_paint)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Tell when the first picture of the window stands."""
        super().paintEvent(event)
        if not self._painted:
            QTimer.singleShot(0, self, self._tell_first_paint)

    def _tell_first_paint(self) -> None:
        if not self._painted and not self._closing:
            self._painted = True
            self.firstPainted.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Remember the new size before long."""
        super().resizeEvent(event)
        self._save_soon()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Write the settings, leave the screen at once, and end the engine's threads."""
        if not self._closing:
            self.save_settings()
            self._closing = True
            self.hide()
            self._laborant.close()
            self.bridge.close()
            self.saving.close()
        super().closeEvent(event)
