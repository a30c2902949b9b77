"""Training in the laboratory: the same run whether or not it was killed, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from labruns import order, train
from safetensors.torch import load_file

from engine.errors import UserError
from engine.lab import learning, runs
from engine.lab.learning import Diverged, train_job
from engine.lab.runs import Point, Run
from engine.lab.settings import Settings, settings_for

ARCHS = ["transformer", "lstm"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(_one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs that nothing stopped."""
    base = tmp_path_factory.mktemp("whole")
    return {arch: train(order(base / arch, arch=arch))[0] for arch in ARCHS}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def curves(run: Run) -> list[Point]:
    """All but the time it took, which no run repeats."""
    return [msgspec.structs.replace(point, seconds=0.0) for point in run.points]


@pytest.mark.parametrize("arch", ARCHS)
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(
    arch: str, tmp_path: Path, whole: dict[str, Run]
) -> None:
    killed = order(tmp_path / "killed", arch=arch)
    for step in train_job(killed):
        if step.step == 7:  # between two points: of 6 and 8
            break
    with (killed.out / runs.CURVES).open("ab") as file:
        file.write(b'{"step":7,"tok')  # the kill met it while it wrote
    again, seen = train(killed)
    resumed = next(step for step in seen if step.resumed)
    assert resumed.resumed[-1].step == 6
    assert curves(again) == curves(whole[arch])
    assert [point.step for point in again.points] == [0, 1, 2, 3, 4, 6, 8]
    assert same(again.folder, whole[arch].folder)
    assert not (again.folder / runs.STATE).exists()
    for (one, folder), (other, theirs) in zip(
        again.checkpoints, whole[arch].checkpoints, strict=True
    ):
        assert one == other
        assert same(folder, theirs)


def test_a_kill_before_the_first_point_and_one_between_curve_and_state(
    tmp_path: Path, whole: dict[str, Run]
) -> None:
    expected = curves(whole["transformer"])
    killed = order(tmp_path / "killed")
    steps = train_job(killed)
    for _ in range(6):
        next(steps)
    steps.close()
    before = (killed.out / runs.STATE).read_bytes()
    steps = train_job(killed)
    for step in steps:
        if step.point is not None:
            break
    steps.close()
    (killed.out / runs.STATE).write_bytes(before)  # the new point was written, the state not yet
    again, _ = train(killed)
    assert curves(again) == expected
    early = order(tmp_path / "early")
    steps = train_job(early)
    next(steps)
    steps.close()
    assert curves(train(early)[0]) == expected


@pytest.mark.parametrize("arch", ARCHS)
def test_the_same_seed_gives_the_same_weights(
    arch: str, tmp_path: Path, whole: dict[str, Run]
) -> None:
    torch.manual_seed(1)  # what the process drew before must not matter, and goes on undisturbed
    again, _ = train(order(tmp_path / "again", arch=arch))
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))
    assert same(again.folder, whole[arch].folder)
    other, _ = train(order(tmp_path / "other", arch=arch, seed=1))
    assert not same(other.folder, whole[arch].folder)


@pytest.mark.parametrize("task", ["repeat", "recall", "addition", "text"])
def test_it_learns_and_tells_what_it_measured(task: str, tmp_path: Path) -> None:
    run, seen = train(order(tmp_path / "run", task, steps=20, check_every=20, rate=1e-2))
    first, last = run.points[0], run.points[-1]
    assert (first.train_loss, first.step, last.step) == (None, 0, 20)
    assert last.loss < first.loss
    assert last.train_loss is not None
    assert last.tokens == 20 * 4 * run.card.length
    assert (last.second_half_accuracy is not None) == (task == "repeat")
    assert last.induction is not None
    assert np.shape(last.induction) == (2, 2)
    for point in run.points:
        positions = point.by_position
        assert len(positions) == run.card.length - 1 or task == "text"
        assert point.in_context_score == pytest.approx(
            positions[run.card.late] - positions[run.card.early]
        )
    told = [step for step in seen if step.point is not None]
    assert [step.point for step in told] == list(run.points)
    for step in told:
        assert step.attention is not None
        assert step.states is not None
        length = len(step.probe)
        assert step.attention.shape == (2, 2, length, length)
        assert np.allclose(step.attention.sum(-1), 1, atol=1e-5)
        assert step.states.shape == (length, 16)
        assert not step.attention.flags.writeable
        assert not step.states.flags.writeable
    assert all(step.speed > 0 and step.seconds_left is not None for step in seen if step.step)
    assert [step for step, _ in run.checkpoints] == [0, 1, 2, 4, 8, 16, 20]
    assert not list(run.folder.rglob("*.pt")) + list(run.folder.rglob("*.bin"))


def test_an_lstm_has_no_heads_to_tell_of(tmp_path: Path) -> None:
    run, seen = train(order(tmp_path / "run", arch="lstm", steps=2))
    assert run.points[-1].induction is None
    assert run.points[-1].best_head is None
    assert all(step.attention is None for step in seen)
    assert seen[-1].states is not None


def test_a_run_at_its_end_is_told_and_not_trained_again(tmp_path: Path) -> None:
    run, _ = train(order(tmp_path / "run", steps=2))
    before = (run.folder / "model.safetensors").stat().st_mtime_ns
    again, seen = train(order(tmp_path / "run", steps=2))
    assert again == run
    assert seen[-1].resumed == run.points
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    train(order(tmp_path / "run", steps=2))
    with pytest.raises(UserError, match="width 16, not 32"):
        train(order(tmp_path / "run", steps=2, width=32))
    with pytest.raises(UserError, match="vocabulary 8, not 9"):
        train(order(tmp_path / "run", steps=2, vocabulary=9))
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear John", encoding="utf-8")
    with pytest.raises(UserError, match="something that is not a run"):
        train(order(tmp_path / "letters"))
    with pytest.raises(UserError, match="it is a file"):
        train(order(tmp_path / "letters" / "dear.txt"))
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_other_texts_are_another_run(tmp_path: Path) -> None:
    one = order(tmp_path / "run", "text", steps=2)
    train(one)
    one.corpus[0].write_text("quite another text, a little longer. " * 20, encoding="utf-8")
    with pytest.raises(UserError, match="a run on other texts"):
        train(one)


@pytest.mark.parametrize("arch", ARCHS)
def test_a_run_that_diverges_keeps_its_last_good_model(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Run]
) -> None:
    plain = learning._learnt
    calls = 0

    def breaking(model: torch.nn.Module, rows: object) -> tuple[torch.Tensor, float]:
        nonlocal calls
        calls += 1
        loss, hits = plain(model, rows)  # type: ignore[arg-type]
        return (loss * math.nan if calls == 8 else loss), hits

    monkeypatch.setattr(learning, "_learnt", breaking)
    wrong = order(tmp_path / "wrong", arch=arch)
    with pytest.raises(
        Diverged, match=r"no number any more at step 8; the model of step 6 is kept"
    ):
        train(wrong)
    run = runs.read_run(wrong.out)
    assert run.card.ended == "diverged"
    assert [point.step for point in run.points] == [0, 1, 2, 3, 4, 6]
    assert curves(run) == curves(whole[arch])[:6]
    # Six steps are the same as those of the run that went well.
    steps = train_job(replace(wrong, out=tmp_path / "six"))
    monkeypatch.setattr(learning, "_learnt", plain)
    for step in steps:
        if step.step == 6:
            break
    kept = load_file(tmp_path / "six" / runs.STATE)
    assert all(torch.equal(kept[f"model.{n}"], w) for n, w in weights(wrong.out).items())
    with pytest.raises(UserError, match="the run in it diverged"):
        train(wrong)


def test_a_rate_far_too_high_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"The training was stopped: the loss was .* Lower --rate"):
        train(order(tmp_path / "run", rate=1e4, steps=60))
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    steps = train_job(order(tmp_path / "run"))
    for step in steps:
        if step.step == 4:
            break
    steps.close()
    state = tmp_path / "run" / runs.STATE
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(UserError, match="damaged or cut short"):
        train(order(tmp_path / "run"))
    (tmp_path / "run" / runs.CARD).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="it is damaged"):
        train(order(tmp_path / "run"))
    with pytest.raises(UserError, match="no such folder"):
        runs.read_run(tmp_path / "nothing")


def test_runs_are_compared_by_reading_their_folders(tmp_path: Path) -> None:
    train(order(tmp_path / "one", steps=2))
    train(order(tmp_path / "two", arch="lstm", steps=2))
    one, two = runs.read_runs([tmp_path / "one", tmp_path / "two"])
    assert one.title == "repeat: attention only, 2 layers, width 16, seed 0"
    assert two.title == "repeat: lstm, 2 layers, width 16, seed 0"
    assert [p.step for p in one.points] == [p.step for p in two.points] == [0, 1, 2]
    lines = (tmp_path / "one" / runs.CURVES).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"arch": "mamba"}, "no architecture mamba"),
        ({"task": "chess"}, "no task chess"),
        ({"width": 30, "heads": 4}, "cannot be shared out among 4 heads"),
        ({"width": 12, "heads": 4}, "rotary positions turn pairs"),
        ({"heads": 0}, "heads is 0"),
        ({"layers": 0}, "layers is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"rate": 0.0}, "rate is 0"),
        ({"rate": math.nan}, "rate is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"digits": 3}, "has no digits to choose"),
        ({"arch": "lstm", "heads": 2}, "an LSTM has no heads"),
        ({"arch": "lstm", "inner": 2}, "an LSTM has no MLP"),
    ],
)
def test_settings_that_cannot_be(said: dict[str, object], why: str) -> None:
    given = {"arch": "transformer", "task": "repeat", **said}
    with pytest.raises(UserError, match=why):
        settings_for(**given)  # type: ignore[arg-type]


def test_the_rate_rises_holds_and_falls() -> None:
    settings = Settings(steps=100, warm_up=0.1, fall=0.2)
    rates = [learning.rate_at(step, settings) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert set(rates[9:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.1)


def test_a_run_that_was_stopped_opens_as_it_was_at_its_last_point(tmp_path: Path) -> None:
    steps = train_job(order(tmp_path / "run"))
    for step in steps:
        if step.step == 7:
            break
    steps.close()
    kept = load_file(tmp_path / "run" / runs.STATE)  # of step 6, which is no power of two
    found = weights(tmp_path / "run")
    assert all(torch.equal(kept[f"model.{name}"], weight) for name, weight in found.items())
