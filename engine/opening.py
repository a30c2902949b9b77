"""Bringing a model to this machine while another one answers.

Fetching waits for networks and other programs, so it has a plain thread of its own that touches no
torch; what it leaves is a folder, which the engine's thread then loads as a job.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from engine.errors import UserError
from engine.models.catalogue import resolve
from engine.models.store import ModelSource, acquire, open_spec
from engine.runner import Event
from engine.types import Failure, JobDone

log = logging.getLogger(__name__)


class Opening:
    """Fetches one model.

    Parameters
    ----------
    job : str
        Name of the job in what is delivered.
    spec : str
        Catalogue name, hub id, folder or file.
    deliver : callable
        Takes progress and failure, on this opening's thread.
    ready : callable
        Takes the `ModelSource`, on this opening's thread.
    """

    def __init__(
        self,
        job: str,
        spec: str,
        deliver: Callable[[Event], None],
        ready: Callable[[ModelSource], None],
    ) -> None:
        self.job = job
        self._spec = spec
        self._deliver = deliver
        self._ready = ready
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"contextscope-{job}", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next step; nothing half-made is left behind."""
        self._cancelled.set()

    def join(self, timeout: float = 10.0) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout)

    @property
    def running(self) -> bool:
        """Whether it is still fetching."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            source = self._fetch()
        except UserError as error:
            self._deliver(Failure(0, error.sentence, job=self.job))
        except Exception as error:
            log.exception("fetching %s failed", self._spec)
            said = UserError(
                f"Cannot open {self._spec}",
                f"something in the program went wrong ({error})",
                "Try another model, and report it with the log",
            )
            self._deliver(Failure(0, said.sentence, job=self.job))
        else:
            if source is None:
                self._deliver(JobDone(self.job, cancelled=True))
            else:
                self._ready(source)

    def _fetch(self) -> ModelSource | None:
        """Drive the source's steps; None when it was cancelled."""
        entry = resolve(self._spec)
        steps = acquire(entry)
        try:
            while not self._cancelled.is_set():
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    return open_spec(entry, stop.value)
                self._deliver(replace(progress, job=self.job))
        finally:
            steps.close()
        return None
