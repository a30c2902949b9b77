"""From a panel's menu to a file or the clipboard, without holding up the window.

What is saved is asked of the engine anew, because a figure may need more than the screen shows
(every head, say). Drawing is done on a thread of its own, for it can take a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QStandardPaths, Qt, Signal
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QFileDialog

from engine.errors import UserError
from engine.types import Failure, Snapshot
from gui.exporters.spec import SCALES, export, format_specs, picture_bytes
from gui.figures.spec import FigureOptions, figure_specs
from gui.widgets.panel import ExportChoice

if TYPE_CHECKING:
    from gui.window import MainWindow

COPY = "copy"
COPY_SCALE = 2
"""Pixels of a copied picture, as a multiple of what a page needs at arm's length."""


def export_choices(key: str) -> list[ExportChoice]:
    """What can be made of the view `key`: each format there is, PNG at each scale, and a copy."""
    if key not in figure_specs():
        return []
    choices = [ExportChoice(COPY, "&Copy picture", "Put the picture on the clipboard.")]
    for spec in format_specs().values():
        what = "The picture" if spec.kind == "picture" else "The numbers behind the picture"
        if spec.suffix == ".png":
            choices += [
                ExportChoice(f".png {scale}", f"{spec.title}, {scale}× …", f"{what}, in pixels.")
                for scale in SCALES
            ]
        else:
            choices.append(ExportChoice(spec.suffix, f"{spec.title} …", f"{what}."))
    return choices


class Saving(QObject):
    """Saves and copies what the views of a window show.

    Parameters
    ----------
    window : MainWindow
        Whose views they are; it tells the user what came of it.
    """

    _finished = Signal(object)

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._folder = QStandardPaths.writableLocation(
            QStandardPaths.StandardLocation.DocumentsLocation
        )
        self._worker: ThreadPoolExecutor | None = None
        self._pending = 0
        self._finished.connect(self._end, Qt.ConnectionType.QueuedConnection)

    def run(self, key: str, choice: str) -> None:
        """Do what a panel's export menu was asked for."""
        if choice == COPY:
            self.copy(key)
        else:
            suffix, _, scale = choice.partition(" ")
            self.ask(key, suffix, int(scale or 1))

    def ask(self, key: str, suffix: str = "", scale: int = COPY_SCALE) -> None:
        """Ask for a file's name, then save the view `key`; no `suffix` offers every format."""
        window = self._window
        formats = [format_specs()[suffix]] if suffix else list(format_specs().values())
        filters = {f"{spec.title} (*{spec.suffix})": spec.suffix for spec in formats}
        dialog = QFileDialog(window, f"Save {window.panels[key].spec.title}", self._folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(list(filters))
        dialog.setDefaultSuffix(formats[0].suffix[1:])
        dialog.filterSelected.connect(lambda name: dialog.setDefaultSuffix(filters[name][1:]))
        dialog.selectFile(self.suggest(key) + formats[0].suffix)
        dialog.fileSelected.connect(lambda name: self.save(key, Path(name), scale))
        dialog.open()

    def suggest(self, key: str) -> str:
        """A name for the file, without its suffix: the view, the model, layer and head."""
        session = self._window.session
        options = self._window.panels[key].view.figure_options()
        if figure_specs()[key].made_of is not None:
            return key
        parts = [key, session.model.name if session.model else ""]
        if options.sheet is not None:  # what a job measured, maybe of another model
            parts = [options.sheet.spec.key, str(options.sheet.meta.get("model", ""))]
        elif key not in ("tokens", "mosaic"):
            parts.append(f"layer{session.layer}" if options.layer is None else f"l{options.layer}")
        if key == "attention" and options.head is not None:
            parts.append(f"h{options.head}")
        return re.sub(r"[^\w.-]+", "-", "-".join(part for part in parts if part))

    def save(self, key: str, path: Path, scale: int = 1) -> None:
        """Save the view `key` to `path`; its suffix picks the format."""
        self._folder = str(path.parent)

        def work(snapshot: Snapshot, options: FigureOptions) -> Callable[[], None]:
            export(snapshot, key, options, path, scale=scale)
            return lambda: self._window.remark(f"Saved {path}.")

        self._with_answer(key, work)

    def copy(self, key: str) -> None:
        """Put the picture of the view `key` on the clipboard."""

        def work(snapshot: Snapshot, options: FigureOptions) -> Callable[[], None]:
            image = QImage.fromData(picture_bytes(snapshot, key, options, scale=COPY_SCALE))
            return lambda: self._put(image, self._window.panels[key].spec.title)

        self._with_answer(key, work)

    def close(self) -> None:
        """Wait for the file that is being written, and end the thread."""
        if self._worker is not None:
            self._worker.shutdown(wait=True, cancel_futures=True)
            self._worker = None

    # --- steps ----------------------------------------------------------------------------------

    def _with_answer(
        self, key: str, work: Callable[[Snapshot, FigureOptions], Callable[[], None]]
    ) -> None:
        """Ask for what the figure needs, give the answer to `work` on the thread, tell the end."""
        window = self._window
        model, options = window.session.model, window.panels[key].view.figure_options()
        if model is None:
            window.say("There is nothing to save yet: no model is loaded. Wait a moment.")
            return
        request = window.controller.request(figure_specs()[key].queries(options, model))

        def take(answer: Snapshot | Failure) -> None:
            if isinstance(answer, Failure):
                window.say(answer.sentence)
                return
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, "contextscope-export")
            self._pending += 1
            self._worker.submit(self._work, partial(work, answer, options))

        window.bridge.ask(request, take)

    def _work(self, work: Callable[[], Callable[[], None]]) -> None:
        """Do `work` on this thread and what it returns on the window's."""
        try:
            then = work()
        except UserError as error:
            then = partial(self._window.say, error.sentence)
        except Exception as error:
            # Raised again where the program's own errors are told and logged.
            then = partial(_raise, error)
        self._finished.emit(then)

    def _end(self, then: Callable[[], None]) -> None:
        """Tell what came of it; the thread goes when nothing waits for it."""
        self._pending -= 1
        if not self._pending:
            self.close()
        then()

    def _put(self, image: QImage, title: str) -> None:
        QGuiApplication.clipboard().setImage(image)
        self._window.remark(f"Copied {title} as a picture.")


def _raise(error: Exception) -> None:
    raise error
