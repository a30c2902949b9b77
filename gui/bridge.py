"""The only place where the engine's thread meets Qt.

Events come in on any thread and go out as signals on the GUI thread. Snapshots pass through a slot
that holds the latest: a signal for each would draw pictures that are long out of date. One wake is
under way at a time, however many events came.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal, Slot

from engine.latent.draft_values import Wish
from engine.opening import Opening
from engine.runner import Event, Job, Runner
from engine.types import Failure, JobDone, ModelInfo, Progress, Request, Snapshot
from gui.drafting import drafting_job
from gui.mapping import MapChoice, map_job
from gui.picturing import PictureChoice, picture_job
from gui.studying import TITLES, StudyChoice, study_job
from gui.training import TrainingChoice, training_job
from gui.writing import WritingChoice, writing_job

if TYPE_CHECKING:
    from engine.engine import Engine


class Bridge(QObject):
    """The engine as the GUI sees it.

    Signals
    -------
    snapshotReady(Snapshot), failed(Failure), progressed(Progress), jobFinished(JobDone) and
    modelLoaded(ModelInfo), all on the GUI thread. `modelLoaded` comes before any snapshot of that
    model.
    """

    snapshotReady = Signal(object)
    failed = Signal(object)
    progressed = Signal(object)
    jobFinished = Signal(object)
    modelLoaded = Signal(object)

    _wake = Signal()

    def __init__(self, parent: QObject | None = None, runner: Runner | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._slot: Snapshot | None = None
        self._events: deque[Event] = deque()
        self._woken = False
        self._closed = False
        self._jobs: dict[str, str] = {}  # name → what the user reads
        self._openings: dict[str, Opening] = {}
        self._callbacks: dict[str, Callable[[Snapshot | Failure], None]] = {}
        self._numbers = itertools.count(1)
        self._runner = runner or Runner(self.deliver)
        self._wake.connect(self._drain, Qt.ConnectionType.QueuedConnection)

    def start(self) -> None:
        """Start the engine's thread. torch is imported there, so call it after the first paint."""
        self._runner.start()

    def open_model(self, spec: str, device: str = "auto", dtype: str = "auto") -> str:
        """Fetch and load a model; it answers once `modelLoaded` is emitted. Returns the job."""
        for earlier in self.jobs():
            if earlier.startswith("open "):
                self.cancel_job(earlier)
        job = f"open {next(self._numbers)} {spec}"
        self._jobs[job] = spec
        self._openings[job] = Opening(
            job,
            spec,
            self.deliver,
            lambda source: self._runner.start_job(
                job, lambda engine: engine.load_steps(source, device, dtype), interrupt=True
            ),
        )
        return job

    def open_second(self, spec: str, dtype: str = "auto") -> str:
        """Fetch and load a model beside the one that answers; the job's value is `SecondLoaded`."""
        job = f"second {next(self._numbers)} {spec}"
        self._jobs[job] = spec
        self._openings[job] = Opening(
            job,
            spec,
            self.deliver,
            lambda source: self._runner.start_job(
                job, lambda engine: engine.load_second_steps(source, dtype=dtype)
            ),
        )
        return job

    def close_second(self) -> None:
        """Let the second model go."""
        job = f"close second {next(self._numbers)}"

        def close(engine: Engine) -> Job:
            engine.close_second()
            yield from ()

        self._jobs[job] = "second model"
        self._runner.start_job(job, close)

    def measure_precision(self) -> str:
        """Measure how far the model is from float32; the job's value is a `Precision`."""
        job = f"precision {next(self._numbers)}"
        self._jobs[job] = "precision"
        self._runner.start_job(job, lambda engine: engine.measure_steps())
        return job

    def train_space(self, choice: TrainingChoice) -> str:
        """Train a latent space; the job's value is a `SpaceMade`."""
        job = f"train {next(self._numbers)}"
        self._jobs[job] = "latent space"
        self._runner.start_job(job, training_job(choice))
        return job

    def write_on(self, choice: WritingChoice) -> str:
        """Let the model write on from a latent point; each step is a `Written`."""
        job = f"write {next(self._numbers)}"
        self._jobs[job] = "writing"
        self._runner.start_job(job, writing_job(choice))
        return job

    def write_sentences(self, wish: Wish) -> str:
        """Write sentences from points; the job's value is a `SentencesWritten`."""
        job = f"sentences {next(self._numbers)}"
        self._jobs[job] = "sentences"
        self._runner.start_job(job, drafting_job(wish))
        return job

    def draw_picture(self, choice: PictureChoice) -> str:
        """Draw a picture of states; the job's value is a `PictureResult`."""
        job = f"picture {next(self._numbers)}"
        self._jobs[job] = choice.title
        self._runner.start_job(job, picture_job(choice))
        return job

    def study(self, choice: StudyChoice) -> str:
        """Measure what a study asks; the job's value is its `KShot`, `Positions` or `Heads`."""
        job = f"study {next(self._numbers)}"
        self._jobs[job] = TITLES[choice.kind]
        self._runner.start_job(job, study_job(choice))
        return job

    def fit_map(self, choice: MapChoice) -> str:
        """Fit the UMAP of a latent space; the job's value is a `MapMade`."""
        job = f"map {next(self._numbers)}"
        self._jobs[job] = "UMAP of μ"
        self._runner.start_job(job, map_job(choice))
        return job

    def pause_job(self, name: str) -> None:
        """Let a job rest until it is resumed or cancelled."""
        self._runner.pause_job(name)

    def resume_job(self, name: str) -> None:
        """Let a job that rests go on."""
        self._runner.resume_job(name)

    def submit(self, request: Request) -> None:
        """Ask; the answer comes as `snapshotReady` unless a newer request overtakes it."""
        self._runner.submit(request)

    def ask(self, request: Request, done: Callable[[Snapshot | Failure], None]) -> None:
        """Ask once, for a figure say: `done` gets this answer, whatever is typed meanwhile."""
        job = f"ask {next(self._numbers)}"
        self._callbacks[job] = done

        def answer(engine: Engine) -> Job:
            yield Progress("Preparing the figure")
            return engine.answer(request)

        self._jobs[job] = "figure"
        self._runner.start_job(job, answer)

    def cancel_job(self, name: str) -> None:
        """End a job; `jobFinished` tells when it is over."""
        if name in self._openings:
            self._openings[name].cancel()
        self._runner.cancel_job(name)

    def jobs(self) -> tuple[str, ...]:
        """Names of the jobs under way, the oldest first."""
        return tuple(self._jobs)

    def close(self) -> None:
        """End all threads; no signal is emitted afterwards. May be called twice."""
        self._closed = True
        for opening in self._openings.values():
            opening.cancel()
        self._runner.close()
        for opening in self._openings.values():
            opening.join()

    def deliver(self, event: Event) -> None:
        """Take an event, on any thread."""
        with self._lock:
            if isinstance(event, Snapshot):
                self._slot = event
            else:
                self._events.append(event)
            wake = not (self._woken or self._closed)
            self._woken = True
        if wake:
            self._wake.emit()

    @Slot()
    def _drain(self) -> None:
        with self._lock:
            snapshot, self._slot = self._slot, None
            events, self._events = self._events, deque()
            self._woken = False
        if self._closed:
            return
        for event in events:
            self._announce(event)
        if snapshot is not None:
            self.snapshotReady.emit(snapshot)

    def _announce(self, event: Event) -> None:
        if isinstance(event, Progress):
            if event.job not in self._callbacks:
                self.progressed.emit(event)
            return
        if isinstance(event, JobDone):
            self._forget(event.job)
            callback = self._callbacks.pop(event.job, None)
            if callback is not None and isinstance(event.value, Snapshot):
                callback(event.value)
            if isinstance(event.value, ModelInfo):
                self.modelLoaded.emit(event.value)
            self.jobFinished.emit(event)
        elif isinstance(event, Failure):
            if event.job is not None:
                self._forget(event.job)
                callback = self._callbacks.pop(event.job, None)
                if callback is not None:
                    callback(event)
                    return
            self.failed.emit(event)

    def _forget(self, job: str) -> None:
        self._jobs.pop(job, None)
        opening = self._openings.pop(job, None)
        if opening is not None:
            opening.join()
