"""The one thread that touches torch.

Requests wait in a mailbox of one slot: the newest replaces what waits, never what runs. Long work
is a job, a generator that yields progress; a waiting request is served between two of its steps,
so typing stays live meanwhile. torch is imported on this thread, not before it starts.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import Cancelled, UserError
from engine.heap import Heap
from engine.types import Failure, JobDone, ModelInfo, Progress, Request, Snapshot

if TYPE_CHECKING:
    from engine.engine import Engine

Job = Generator[Progress, None, Any]
Event = Snapshot | Failure | Progress | JobDone | ModelInfo

log = logging.getLogger(__name__)

IMPORT_PATIENCE = 0.2
"""Seconds that closing waits for an engine that is still being made."""


class Runner:
    """Runs an `Engine` on a thread of its own.

    Parameters
    ----------
    deliver : callable
        Takes every event, on this runner's thread: it must be quick and must not raise.
    make_engine : callable, optional
        Makes the engine, on this runner's thread; by default `engine.engine.Engine`.
    """

    def __init__(
        self,
        deliver: Callable[[Event], None],
        make_engine: Callable[[], Engine] | None = None,
    ) -> None:
        self._deliver = deliver
        self._make_engine = make_engine or _make_engine
        self._changed = threading.Condition()
        self._waiting: Request | None = None
        self._jobs: dict[str, Callable[[Engine], Job]] = {}
        self._cancelled: set[str] = set()
        self._paused: set[str] = set()
        self._interrupt = threading.Event()
        self._closing = False
        self._made = False
        self._thread = threading.Thread(target=self._run, name="contextscope-engine", daemon=True)

    def start(self) -> None:
        """Start the thread; torch is imported on it now."""
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Put a request into the mailbox, in place of the one that waits there."""
        with self._changed:
            self._waiting = request
            self._changed.notify()

    def start_job(
        self, name: str, make: Callable[[Engine], Job], *, interrupt: bool = False
    ) -> None:
        """Queue a job. With `interrupt`, a pass that is running ends at the next block.

        `interrupt` is for what makes that pass worthless: a change of model or device.
        """
        with self._changed:
            self._cancelled.discard(name)
            self._paused.discard(name)
            self._jobs[name] = make
            if interrupt:
                self._interrupt.set()
            self._changed.notify()

    def cancel_job(self, name: str) -> None:
        """End a job at its next step, or before it starts."""
        with self._changed:
            self._cancelled.add(name)
            self._changed.notify()

    def pause_job(self, name: str) -> None:
        """Let a job rest before its next step, until it is resumed, cancelled or started anew."""
        with self._changed:
            self._paused.add(name)

    def resume_job(self, name: str) -> None:
        """Let a job that rests go on."""
        with self._changed:
            self._paused.discard(name)
            self._changed.notify()

    def close(self, timeout: float = 30.0) -> None:
        """End the running pass at the next block, all jobs, and the thread.

        While torch is still being imported this waits for a moment only: nothing can end an import,
        and nothing is lost with it. The thread then ends by itself, or with the process.
        """
        with self._changed:
            self._closing = True
            self._interrupt.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout if self._made else min(timeout, IMPORT_PATIENCE))

    # --- on the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            engine = self._make_engine()
        except Exception as error:
            log.exception("the engine could not be made")
            self._deliver(Failure(0, _unexpected("Cannot start the engine", error)))
            return
        self._made = True
        heap = Heap()
        running: dict[str, Job] = {}
        while True:
            with self._changed:
                idle = False
                while not (
                    idle
                    or self._waiting
                    or self._jobs
                    or self._cancelled
                    or running.keys() - self._paused
                    or self._closing
                ):
                    idle = not self._changed.wait(heap.patience)
                if self._closing:
                    break
                self._interrupt.clear()
                request, self._waiting = self._waiting, None
                fresh, self._jobs = self._jobs, {}
                ended, self._cancelled = self._cancelled, set()
                paused = set(self._paused)
            for name in ended:
                self._end(name, running.pop(name, None), known=fresh.pop(name, None) is not None)
            for name, make in fresh.items():
                self._end(name, running.pop(name, None))
                running[name] = make(engine)
            if request is not None:
                self._answer(engine, request)
                heap.use()
            if idle and request is None:
                heap.tidy()
            for name in [name for name in running if name not in paused]:
                heap.use()
                if not self._step(engine, name, running[name]):
                    del running[name]
        for name, job in running.items():
            self._end(name, job)

    def _answer(self, engine: Engine, request: Request) -> None:
        if engine.loaded is None:
            return  # the controller asks again once there is a model
        try:
            snapshot = engine.answer(request, self._interrupt.is_set, self._deliver)
        except Cancelled:
            return  # a new model is on its way, and whoever asked asks again then
        except UserError as error:
            self._deliver(Failure(engine.epoch, error.sentence, seq=request.seq))
        except Exception as error:
            log.exception("a request failed")
            said = _unexpected("Cannot show this text", error)
            self._deliver(Failure(engine.epoch, said, seq=request.seq))
        else:
            self._deliver(snapshot)

    def _step(self, engine: Engine, name: str, job: Job) -> bool:
        """Run a job up to its next progress; False when it is over."""
        try:
            progress = next(job)
        except StopIteration as stop:
            self._deliver(JobDone(name, stop.value))
            return False
        except UserError as error:
            self._deliver(Failure(engine.epoch, error.sentence, job=name))
            return False
        except Exception as error:
            log.exception("job %s failed", name)
            self._deliver(Failure(engine.epoch, _unexpected("This did not work", error), job=name))
            return False
        self._deliver(replace(progress, job=name))
        return True

    def _end(self, name: str, job: Job | None, known: bool = False) -> None:
        if job is not None:
            job.close()
        if job is not None or known:
            self._deliver(JobDone(name, cancelled=True))


def _make_engine() -> Engine:
    from engine.engine import Engine

    # torch, transformers and Qt are half a million objects that stay. Looking through them took the
    # collector a fifth of a second, with the interpreter held, at each opening and now and then.
    if not gc.get_freeze_count():
        gc.freeze()
    return Engine()


def _unexpected(what: str, error: Exception) -> str:
    """A sentence for an error that is the program's own fault."""
    text = str(error).strip().splitlines()
    why = f"something in the program went wrong ({text[0] if text else type(error).__name__})"
    return UserError(what, why, "Try another text or model, and report it with the log").sentence
