"""What holds one job hears of that one only."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PySide6.QtCore import QObject, Signal

from engine.types import Failure, JobDone, Progress
from gui.onejob import OneJob


class Bridge(QObject):
    progressed = Signal(object)
    jobFinished = Signal(object)  # noqa: N815 - as the bridge calls it

    def __init__(self):
        super().__init__()
        self.cancelled = []

    def cancel_job(self, name):
        self.cancelled.append(name)


class Window(QObject):
    def __init__(self):
        super().__init__()
        self.bridge = Bridge()
        self.bridge.setParent(self)


class Holder(OneJob):
    def __init__(self, window):
        super().__init__(window)
        self.heard = []

    def take(self, progress):
        self.heard.append(progress.text)

    def finish(self, done):
        assert self.job == ""
        self.heard.append(done.value)

    def fail(self, sentence):
        assert self.job == ""
        self.heard.append(sentence)


@pytest.fixture
def made(qapp):
    window = Window()
    yield SimpleNamespace(window=window, bridge=window.bridge, holder=Holder(window))
    window.deleteLater()


def test_it_hears_of_its_own_job_and_of_no_other(made):
    bridge, holder = made.bridge, made.holder
    bridge.progressed.emit(Progress("none is held", 0.0))
    assert not holder.owns(Failure(0, "none is held"))
    holder.job = "mine"
    for name in ("yours", "mine"):
        bridge.progressed.emit(Progress(f"of {name}", 0.5, job=name))
    bridge.jobFinished.emit(JobDone("yours", 1))
    assert not holder.owns(Failure(0, "no", job="yours"))
    assert holder.heard == ["of mine"]
    bridge.jobFinished.emit(JobDone("mine", 2))
    bridge.jobFinished.emit(JobDone("mine", 3))
    assert holder.heard == ["of mine", 2]


def test_a_failure_is_told_once(made):
    made.holder.job = "mine"
    assert made.holder.owns(Failure(0, "It broke.", job="mine"))
    assert not made.holder.owns(Failure(0, "It broke.", job="mine"))
    assert made.holder.heard == ["It broke."]


def test_what_is_cancelled_is_heard_of_and_what_is_let_go_is_not(made):
    bridge, holder = made.bridge, made.holder
    holder.job = "one"
    holder.cancel()
    bridge.jobFinished.emit(JobDone("one", cancelled=True))
    holder.job = "two"
    assert holder.let_go()
    assert not holder.let_go()
    bridge.jobFinished.emit(JobDone("two", cancelled=True))
    assert bridge.cancelled == ["one", "two"]
    assert holder.heard == [None]
