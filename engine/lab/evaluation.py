"""Measuring a model that the laboratory trained: what ``lab evaluate`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.lab import models
from engine.lab.judging import best_head, induction, judge
from engine.lab.runs import Run, read_run
from engine.lab.tasks.repeat import Repeat, repeated
from engine.lab.tasks.spec import task_specs

ROWS = 512
"""Most rows of a task that makes them."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Attributes
    ----------
    loss, perplexity, accuracy : float
        Mean −ln p over the judged targets in nats, e to that, and the share told right.
    tokens, unknown : int
        Targets judged, and those of them that the vocabulary does not have.
    in_context_score : float
        See `judging.Judged.in_context_score`.
    induction_score, best_head
        The highest induction score of a head, and that head's layer and number, both from 0; None
        where there are none.
    second_half_accuracy : float or None
        Of what repeats, where random tokens are repeated.
    """

    run: Run
    loss: float
    perplexity: float
    accuracy: float
    tokens: int
    unknown: int
    in_context_score: float
    induction_score: float | None
    best_head: tuple[int, int] | None
    second_half_accuracy: float | None


def evaluate(folder: Path, corpus: Sequence[Path] = ()) -> Evaluation:
    """Measure the model in a run's folder on rows it has not learnt from.

    Parameters
    ----------
    corpus : sequence of Path
        Texts, for a model that learnt from some; by default those held out when it was trained.

    Raises
    ------
    UserError
        If the folder holds no run or a damaged one, or the texts will not do.
    """
    run = read_run(folder)
    settings = run.card.settings
    spec = task_specs()[settings.task]
    task = spec.again(spec.options(**settings.options), corpus, folder)
    model = models.load(folder)
    rows = task.held_out(1 << 30 if spec.reads else ROWS)
    judged = judge(model, rows)
    scores = induction(model, task)
    best = None if scores is None else best_head(scores)
    half = None
    if isinstance(task, Repeat):
        half = replace(judged, judged=repeated(rows.ids)).accuracy
    return Evaluation(
        run=run,
        loss=judged.loss,
        perplexity=judged.perplexity,
        accuracy=judged.accuracy,
        tokens=judged.tokens,
        unknown=task.unknown,
        in_context_score=judged.in_context_score(task.early, task.late),
        induction_score=None if best is None else best[2],
        best_head=None if best is None else best[:2],
        second_half_accuracy=half,
    )
