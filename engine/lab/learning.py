"""Training a model of the laboratory: the job behind the command, and behind a window's panel.

``train_job(order)`` is a generator of `Learning`, to be driven like any job: on the runner
(``runner.start_job("lab", lambda engine: train_job(order))``), or by a loop. It yields after each
update, so that typing stays live; a point of the curves, with the attention of a probe text, comes
about fifty times in a run. Not driving it is a pause, closing it cancels, and an order of the
same settings goes on from the last point, with the same curves and weights as if nothing had been.
Its value is the `Run` its folder then holds.

Shape letters: B rows, T tokens, L layers, H heads, D model width, V vocabulary.
"""

from __future__ import annotations

import datetime
import math
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.files import disk_error
from engine.lab import models, runs, state
from engine.lab.judging import induction, judge, losses_of, scores_of, seen_in
from engine.lab.runs import Card, Point, Run
from engine.lab.settings import Settings
from engine.lab.tasks.repeat import Repeat, repeated
from engine.lab.tasks.spec import Rows, Task, task_specs
from engine.types import Floats, Progress

HELD_OUT_ROWS = 64
"""Most rows that each point of the curves is measured on."""

WORSE = 10.0
"""A loss so many times what guessing evenly costs is taken for a run that diverges."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to train.

    Parameters
    ----------
    out : Path
        The run's folder. One with a run of the same settings is gone on with.
    corpus : paths
        Texts, for a task that reads some.
    command : str
        How it can be made again, for the record.
    keep : frozenset of int
        Steps that leave a checkpoint too, beside those of `runs.is_kept`. The weights do not depend
        on them.
    """

    out: Path
    settings: Settings
    corpus: tuple[Path, ...] = ()
    command: str = ""
    keep: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Learning(Progress):
    """An update; with `point`, what was measured after it.

    Attributes
    ----------
    step, steps : int
        Updates made, and how many there will be.
    point : Point or None
    resumed : tuple of Point
        With the first `Learning` of a run that goes on, the points it had already.
    speed : float
        Tokens a second, measuring and saving included; 0 before the first update.
    seconds_left : float or None
        About how long it will take still.
    probe : tuple of str
        With a `point`, a held-out row's tokens, always the same.
    attention : (L, H, T, T) float32 or None
        With a `point`, the probe's attention maps, read-only; None for an LSTM.
    states : (T, D) float32 or None
        With a `point`, the probe's states before the output embedding, read-only.
    """

    step: int = 0
    steps: int = 0
    point: Point | None = None
    resumed: tuple[Point, ...] = ()
    speed: float = 0.0
    seconds_left: float | None = None
    probe: tuple[str, ...] = ()
    attention: Floats | None = None
    states: Floats | None = None


class Diverged(UserError):  # noqa: N818 - it is an outcome, with weights that were kept
    """Training stopped being a matter of numbers; the folder holds the last good weights."""


@dataclass(slots=True, eq=False)
class _Sums:
    """What was learnt from since the last point."""

    losses: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)

    def means(self) -> tuple[float | None, float | None]:
        if not self.losses:
            return None, None
        found = float(np.mean(self.losses)), float(np.mean(self.hits))
        self.losses.clear()
        self.hits.clear()
        return found


def train_job(order: Order) -> Generator[Learning, None, Run]:
    """Train a model from its first step, or from where the folder's run was left, to its last.

    Raises
    ------
    UserError
        If the texts will not do, the folder holds something else, or it cannot be written to.
    Diverged
        If a loss is no number any more. The folder then holds the model of the last good point.
    """
    settings, out = order.settings, order.out
    yield Learning("Preparing the task", 0.0, steps=settings.steps)
    spec = task_specs()[settings.task]
    task = spec.make(spec.options(**settings.options), order.corpus)
    found = runs.unfinished(out, settings, task.fingerprint)
    if found is not None and found.card.ended == "done":
        yield Learning("This run is at its end", 1.0, resumed=found.points)
        return found
    yield Learning("Making the model", 0.0, steps=settings.steps)
    model = models.build(settings, task.vocabulary, task.length)
    optimizer = _optimizer(model, settings)
    kept = state.load_state(out) if found is not None else None
    if kept is not None and found is not None:
        state.take_state(kept, model, optimizer)
        points = tuple(point for point in found.points if point.step <= kept.step)
        runs.write_curves(out, points)
    else:
        points = ()
        _begin(order, task, model)
    return (yield from _Training(order, task, model, optimizer, kept, points).steps())


def _begin(order: Order, task: Task, model: Any) -> None:
    out = order.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        # A run that was killed before its first point.
        shutil.rmtree(out / runs.CHECKPOINTS, ignore_errors=True)
    except OSError as error:
        raise disk_error(out, error) from error
    runs.write_card(
        out,
        Card(
            settings=order.settings,
            fingerprint=task.fingerprint,
            corpus=tuple(str(path) for path in order.corpus),
            parameters=models.parameters(model),
            vocabulary=task.vocabulary,
            length=task.length,
            early=task.early,
            late=task.late,
            command=order.command,
            threads=torch.get_num_threads(),
            torch=torch.__version__.split("+")[0],
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        ),
    )
    runs.write_curves(out, ())
    task.keep(out)


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Adam; where there is a decay, AdamW with matrices decayed, embeddings and biases not."""
    learnt = models.trained(model)
    matrices = [w for n, w in learnt if w.ndim == 2 and "embed" not in n and settings.decay]
    known = {id(weight) for weight in matrices}
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": settings.decay},
        {"params": [w for _, w in learnt if id(w) not in known], "weight_decay": 0.0},
    ]
    betas = (0.9, 0.999) if settings.arch == "lstm" else (0.9, 0.95)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.rate, betas=betas)


def rate_at(step: int, settings: Settings) -> float:
    """Share of the learning rate at a step, from 0: a rise, a plateau, a fall to a tenth."""
    rising = max(1, round(settings.steps * settings.warm_up))
    falling = max(1, round(settings.steps * settings.fall))
    left = (settings.steps - step) / falling
    return min((step + 1) / rising, 1.0, max(0.1, left))


class _Training:
    """One run from where it is to its end."""

    def __init__(
        self,
        order: Order,
        task: Task,
        model: Any,
        optimizer: torch.optim.Optimizer,
        kept: state.State | None,
        points: tuple[Point, ...],
    ) -> None:
        self.order, self.settings, self.out = order, order.settings, order.out
        self.task, self.model, self.optimizer = task, model, optimizer
        self.points = points
        self.first = 0 if kept is None else kept.step
        self.spent = 0.0 if kept is None else kept.seconds
        self.held_out = task.held_out(HELD_OUT_ROWS)
        self.repeated = repeated(self.held_out.ids) if isinstance(task, Repeat) else None
        self.probe = self.held_out.ids[0]
        show = task.tokenizer.id_to_token
        self.probe_tokens = tuple(show(int(id_)) or "" for id_ in self.probe)
        self.sums = _Sums()
        self.limit = WORSE * math.log(task.vocabulary)

    def steps(self) -> Generator[Learning, None, Run]:
        """See `train_job`."""
        settings = self.settings
        self.begun = time.perf_counter()
        if self.first:
            yield self._told(self.first, resumed=self.points)
        else:
            yield self._measure(0)
        for step in range(self.first, settings.steps):
            self._update(step)
            done = step + 1
            if not done % settings.every or self._is_kept(done):
                yield self._measure(done)
            else:
                yield self._told(done)
        card = runs.read_run(self.out).card
        runs.write_card(self.out, msgspec.structs.replace(card, ended="done"))
        (self.out / runs.STATE).unlink(missing_ok=True)
        return runs.read_run(self.out)

    def _update(self, step: int) -> None:
        """One step of Adam. Its rows depend on seed and step alone."""
        rng = np.random.default_rng((self.settings.seed, step))
        rows = self.task.rows(rng, self.settings.batch)
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * rate_at(step, self.settings)
        loss, hits = _learnt(self.model, rows)
        value = float(loss.detach())
        if not value < self.limit:
            raise self._diverged(step + 1, value)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_((w for _, w in models.trained(self.model)), self.settings.clip)
        self.optimizer.step()
        self.sums.losses.append(value)
        self.sums.hits.append(hits)

    def _measure(self, step: int) -> Learning:
        """Judge, and keep: the checkpoint, the point, then what a killed run goes on from."""
        judged = judge(self.model, self.held_out)
        if not judged.loss < self.limit:
            raise self._diverged(step, judged.loss)
        task = self.task
        scores = induction(self.model, task)
        half = None
        if self.repeated is not None:
            half = replace(judged, judged=self.repeated).accuracy
        loss, accuracy = self.sums.means()
        point = Point(
            step=step,
            tokens=step * self.settings.batch * task.length,
            train_loss=loss,
            train_accuracy=accuracy,
            loss=judged.loss,
            accuracy=judged.accuracy,
            in_context_score=judged.in_context_score(task.early, task.late),
            second_half_accuracy=half,
            by_position=tuple(judged.by_position.tolist()),
            induction=None if scores is None else tuple(map(tuple, scores.tolist())),
            seconds=self._seconds(),
        )
        folders = [self.out]
        if self._is_kept(step):
            folders.append(runs.checkpoint_folder(self.out, step))
        models.save(self.model, task.tokenizer, task.length, *folders)
        runs.add_point(self.out, point)
        optimizer = self.optimizer.state_dict()["state"]
        now = state.State(step, self._seconds(), self.model.state_dict(), optimizer)
        state.save_state(self.out, now)
        self.points += (point,)
        maps, states = seen_in(self.model, self.probe)
        runs.write_probe(self.out, runs.Probe(step, self.probe_tokens, maps, states))
        return self._told(step, point=point, attention=maps, states=states)

    def _told(self, step: int, point: Point | None = None, **more: Any) -> Learning:
        steps, here = self.settings.steps, step - self.first
        took = time.perf_counter() - self.begun
        speed = here * self.settings.batch * self.task.length / took if here else 0.0
        left = took / here * (steps - step) if here else None
        text = f"Step {step:,} of {steps:,}"
        shown = point or (self.points[-1] if self.points else None)
        if shown is not None:
            text += f", held-out loss {shown.loss:.3f}, accuracy {100 * shown.accuracy:.0f} %"
        if left is not None:
            text += f", {speed:,.0f} tokens/s, about {_duration(left)} left"
        return Learning(
            text,
            step / steps,
            step=step,
            steps=steps,
            point=point,
            speed=speed,
            seconds_left=left,
            probe=self.probe_tokens if point is not None else (),
            **more,
        )

    def _is_kept(self, step: int) -> bool:
        return step in self.order.keep or runs.is_kept(step, self.settings.steps)

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.begun

    def _diverged(self, step: int, loss: float) -> Diverged:
        """Put the last good weights into the folder, and say so there and to the user."""
        what = "no number any more" if not math.isfinite(loss) else f"{loss:.0f} nats"
        why = f"the loss was {what} at step {step:,}"
        good = state.load_state(self.out)
        if good is not None:
            self.model.load_state_dict(good.model)
            models.save(self.model, self.task.tokenizer, self.task.length, self.out)
            why += f"; the model of step {good.step:,} is kept in {self.out}"
        card = runs.read_run(self.out).card
        runs.write_card(self.out, msgspec.structs.replace(card, ended="diverged", said=why))
        (self.out / runs.STATE).unlink(missing_ok=True)
        return Diverged("The training was stopped", why, "Lower --rate and choose another folder")


def _learnt(model: Any, rows: Rows) -> tuple[Tensor, float]:
    """Mean loss over the learnt targets, and the share of them that were the likeliest."""
    ids = torch.from_numpy(rows.ids)  # (B, T)
    wanted = torch.from_numpy(rows.learnt)  # (B, T − 1)
    scores = scores_of(model, ids)  # (B, T − 1, V)
    loss = losses_of(scores, ids)[wanted].mean()
    hits = (scores.detach().argmax(-1) == ids[:, 1:])[wanted].float().mean()
    return loss, float(hits)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
