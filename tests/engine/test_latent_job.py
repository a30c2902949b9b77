"""The job that makes a space: killed and resumed, stopped, refused; and pausing it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from safetensors import SafetensorError

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import checkpoint
from engine.latent import tensors as tensor_files
from engine.latent.checkpoint import Checkpoint
from engine.latent.corpus import Passages
from engine.latent.evaluation import knn_accuracy
from engine.latent.space import load
from engine.latent.train import Collected, Order, space_job
from engine.latent.training import Learning, Settings, Trained, train_steps
from engine.runner import Runner
from engine.types import JobDone, Progress

QUICK = Settings(latent=2, hidden=16, epochs=6, batch=64, seed=1, dropout=0.1, noise=0.1)
CUT = Passages(tokens=800, length=16, sentences=200)
WORDS = ["dog", "park", "sea", "shore", "fox", "shells", "lazy", "running", "the", "in", "by"]


def drain(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def made_states(count: int = 600, width: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(count, 2, generator=generator)
    return z @ torch.randn(2, width, generator=generator) + 0.3 * torch.randn(
        count, width, generator=generator
    )


def passages(count: int = 600) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(count) // 10


def keeper_at(path: Path, settings: Settings = QUICK) -> Checkpoint:
    return Checkpoint(path, settings, checkpoint.digest(made_states()))


# --- checkpoints ----------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import torch
torch.set_num_threads(1)
import test_latent_job as t
keeper = t.keeper_at(Path({path!r}))
steps = t.train_steps(t.made_states(), t.passages(), t.QUICK, keeper=keeper)
for step in steps:
    if step.epoch is not None:
        print(step.epoch.number, flush=True)
"""


def test_a_killed_training_goes_on_to_the_same_weights_and_curves(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole: Trained = drain(train_steps(made_states(), passages(), QUICK))
        path = tmp_path / "x.checkpoint.safetensors"
        here = Path(__file__).resolve()
        script = KILLED.format(root=str(here.parents[2]), tests=str(here.parent), path=str(path))
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == "2":  # two epochs are over, and what follows is lost
                    break
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        kept = keeper_at(path).load()
        assert kept is not None
        assert 2 <= kept.number <= QUICK.epochs
        seen: list[int] = []
        again = train_steps(made_states(), passages(), QUICK, keeper=keeper_at(path))
        while True:
            try:
                step = next(again)
            except StopIteration as stop:
                resumed: Trained = stop.value
                break
            if step.epoch is not None:
                seen.append(step.epoch.number)
    finally:
        torch.set_num_threads(threads)
    assert seen == list(range(kept.number, QUICK.epochs + 1))
    assert resumed.epochs == whole.epochs
    assert resumed.best == whole.best
    for one, other in zip(
        whole.vae.state_dict().values(), resumed.vae.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_checkpoint_is_of_one_training(tmp_path: Path) -> None:
    path = tmp_path / "x.checkpoint.safetensors"
    assert keeper_at(path).load() is None
    steps = train_steps(made_states(), passages(), QUICK, keeper=keeper_at(path))
    for step in steps:
        if step.epoch is not None and step.epoch.number == 1:
            break
    steps.close()
    assert keeper_at(path).load() is not None
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert [epoch["number"] for epoch in told["epochs"]] == [0, 1]
    assert told["settings"]["beta"] == QUICK.beta
    with pytest.raises(UserError, match="seed 1, not 2"):
        keeper_at(path, replace(QUICK, seed=2)).load()
    with pytest.raises(UserError, match="other states"):
        Checkpoint(path, QUICK, "else").load()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged or cut short"):
        keeper_at(path).load()
    keeper_at(path).remove()
    assert list(tmp_path.iterdir()) == []


# --- the job --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "texts").mkdir()
    for name, words in (("land", WORDS[:6]), ("water", WORDS[4:])):
        lines = (" ".join(rng.choice(words, 7)).capitalize() + "." for _ in range(150))
        (tmp_path / "texts" / f"{name}.txt").write_text(" ".join(lines), encoding="utf-8")
    return Order(
        out=tmp_path / "out" / "space.safetensors",
        corpus=(tmp_path / "texts",),
        layer=2,
        states="mean",
        cutting=CUT,
        settings=QUICK,
    )


def test_it_makes_a_space_of_sentences(engine: Engine, order: Order) -> None:
    assert engine.loaded is not None
    collected: list[Collected] = []
    epochs: list[Learning] = []
    job = space_job(engine.loaded, order)
    while True:
        try:
            step = next(job)
        except StopIteration as stop:
            space = stop.value
            break
        if isinstance(step, Collected):
            collected.append(step)
        elif isinstance(step, Learning) and step.epoch is not None:
            epochs.append(step)
    assert [one.names for one in collected] == [("land", "water")]
    assert collected[0].labels is not None
    assert [one.epoch.number for one in epochs if one.epoch] == list(range(7))
    assert all(one.rows is not None and one.rows.max() < 200 for one in epochs)
    card = space.card
    assert (card.states, card.pooling, card.layer) == ("sentences", "mean", 2)
    assert card.held_out is not None
    assert card.held_out.knn_accuracy is not None
    assert len(space.seen) > 0
    # What is held out was not seen, and the checkpoint is gone.
    assert len(space.seen) <= 200 - card.held_out.held_out_states
    assert sorted(path.name for path in order.out.parent.iterdir()) == [
        "space.md",
        "space.safetensors",
    ]
    assert np.array_equal(load(order.out).seen, space.seen)


def test_a_cancelled_job_can_be_resumed(engine: Engine, order: Order) -> None:
    assert engine.loaded is not None
    whole = drain(space_job(engine.loaded, order))
    job = space_job(engine.loaded, order)
    for step in job:
        if isinstance(step, Learning) and step.epoch is not None and step.epoch.number == 3:
            break
    job.close()
    resumed = space_job(engine.loaded, replace(order, resume=True))
    first = next(step for step in resumed if isinstance(step, Collected))
    assert first.resumed == 3
    again = drain(resumed)
    for one, other in zip(
        whole.vae.state_dict().values(), again.vae.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert whole.card.held_out == again.card.held_out


def test_a_training_that_fails_keeps_what_was_good(engine: Engine, order: Order) -> None:
    assert engine.loaded is not None
    job = space_job(engine.loaded, replace(order, settings=replace(QUICK, epochs=8)))
    keep = torch.isfinite
    calls = 0

    def fails(loss: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += loss.ndim == 0
        return keep(loss) if calls < 15 or loss.ndim else torch.tensor(False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "isfinite", fails)
        with pytest.raises(
            UserError, match=r"no longer a number in epoch \d+; the weights of"
        ) as e:
            drain(job)
    assert "are kept in space.safetensors" in e.value.sentence
    assert load(order.out).card.best_epoch > 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"layer": 9}, "layers 0 to 3"),
        ({"cutting": Passages(sentences=20)}, "it takes 50"),
        ({"corpus": (Path("nowhere"),)}, "no such folder"),
        ({"out": Path("space.pt")}, "space.safetensors"),
        ({"corpus": ()}, "no token"),
        ({"settings": replace(QUICK, latent=40)}, "not fewer than the states' 32"),
    ],
)
def test_what_cannot_be_made_is_a_sentence(
    engine: Engine, order: Order, change: dict[str, Any], why: str
) -> None:
    assert engine.loaded is not None
    with pytest.raises(UserError, match=why):
        drain(space_job(engine.loaded, replace(order, **change)))
    assert not order.out.exists()


def test_a_full_disk_is_told(engine: Engine, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.loaded is not None

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(UserError, match="the disk is full"):
        drain(space_job(engine.loaded, order))
    assert not order.out.exists()


LIMITED = """
import resource, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
import torch
from engine.errors import UserError
from engine.latent.tensors import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write(Path({path!r}), {{"x": torch.zeros(100_000)}}, {{}})
except UserError as error:
    print(error.sentence)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files are not limited there")
def test_what_the_system_says_of_a_file_that_has_no_room_is_told(tmp_path: Path) -> None:
    """What safetensors makes of the system's refusal is a sentence, and nothing is left over."""
    root = str(Path(__file__).resolve().parents[2])
    script = LIMITED.format(root=root, path=str(tmp_path / "x.safetensors"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"Cannot write {tmp_path / 'x.safetensors'}: "), done.stderr
    assert list(tmp_path.iterdir()) == []


# --- measures -------------------------------------------------------------------------------------


def test_label_accuracy_by_hand() -> None:
    picture = torch.tensor([[0.0, 0], [1, 0], [2.1, 0], [10, 0], [11, 0], [12.1, 0]])
    assert knn_accuracy(picture, np.array([0, 0, 0, 1, 1, 1]), 2) == 1.0
    # The nearest other of each of the first three is one of them, but one says otherwise.
    assert knn_accuracy(picture, np.array([0, 1, 0, 1, 1, 1]), 1) == pytest.approx(3 / 6)
    assert knn_accuracy(picture, np.zeros(6, dtype=np.int64)) is None


# --- pausing --------------------------------------------------------------------------------------


def test_a_paused_job_rests_until_it_is_resumed() -> None:
    events: list[object] = []
    changed = threading.Condition()

    def deliver(event: object) -> None:
        with changed:
            events.append(event)
            changed.notify_all()

    def wait_for(wanted: Any) -> None:
        with changed:
            assert changed.wait_for(wanted, timeout=60)

    enough = threading.Event()

    def job(_: Any) -> Generator[Progress, None, str]:
        while not enough.wait(0.001):
            yield Progress("working")
        return "done"

    class Fake:
        loaded = None
        epoch = 0

    runner = Runner(deliver, Fake)  # type: ignore[arg-type]
    runner.start()
    try:
        runner.start_job("train", job)
        wait_for(lambda: len(events) > 5)
        runner.pause_job("train")
        # A job started after the pause runs meanwhile, and the one that rests makes no step.
        runner.start_job("other", lambda _: job(_))
        runner.cancel_job("other")
        wait_for(lambda: JobDone("other", cancelled=True) in events)
        before = [e for e in events if isinstance(e, Progress) and e.job == "train"]
        time.sleep(0.1)
        after = [e for e in events if isinstance(e, Progress) and e.job == "train"]
        assert len(after) <= len(before) + 1
        enough.set()
        runner.resume_job("train")
        wait_for(lambda: JobDone("train", "done") in events)
        enough.clear()
        # One that rests can be cancelled too.
        runner.start_job("train", job)
        runner.pause_job("train")
        runner.cancel_job("train")
        wait_for(lambda: JobDone("train", cancelled=True) in events)
    finally:
        runner.close()
