"""``main.py study``: k-shot curves, loss by position, heads. What was measured is kept."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gui.exporters.spec import format_for
from gui.headless.console import DONE, finish, say
from gui.headless.opening import opened

if TYPE_CHECKING:
    from engine.latent.corpus_texts import Text
    from engine.models.loader import Loaded
    from engine.studies.windows import Looking
    from engine.types import Progress
    from gui.studies.spec import Line, StudySpec

PATIENCE = 0.5
"""Seconds a step takes, about: nobody types meanwhile."""

S = TypeVar("S")


def kshot(given: argparse.Namespace) -> int:
    """Measure a k-shot curve and print a line for each k.

    Raises
    ------
    UserError
        If the task, the model or a k will not do.
    """
    from engine.tasks.taskfile import find_task

    task = find_task(given.task)
    loaded = _opened(given)
    from engine.studies.kshot import Order, Settings, kshot_job
    from gui.studies.kshot import STUDY

    settings = Settings(given.k, given.seeds, given.queries, given.instruction, given.shuffled)
    study = _followed(kshot_job(loaded, Order(task, settings, PATIENCE, given.fresh)))
    _give(given, STUDY, study, loaded)
    if not given.json:
        names = ["k", "accuracy", "low", "high", "macro_f1", "gold_logprob"]
        print_table(STUDY.lines(study), [*names, "shuffled_accuracy", "gap", "gap_low", "gap_high"])
        print(f"{study.tokens:,} tokens were run; prompt by prompt it would be {study.alone:,}.")
    return DONE


def position(given: argparse.Namespace) -> int:
    """Measure loss by position and print the in-context learning score.

    Raises
    ------
    UserError
        If the texts are too short, or the model will not do.
    """
    texts = _texts(given)
    loaded = _opened(given)
    from engine.studies.position import Order, position_job
    from gui.studies.position import STUDY, summary

    order = Order(texts, _looking(given), PATIENCE, given.fresh)
    study = _followed(position_job(loaded, order))
    _give(given, STUDY, study, loaded)
    if not given.json:
        wanted = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, study.early, study.late}
        rows = [line for line in STUDY.lines(study)[:-1] if line["position"] in wanted]
        print_table(rows, ["position", "loss", "low", "high"])
        told = summary(study)
        print(
            f"In-context learning score: {_shown(told['icl_score'])} nats, 95 % interval "
            f"{_shown(told['icl_score_low'])} to {_shown(told['icl_score_high'])} "
            f"({told['texts']} texts)."
        )
    return DONE


def heads(given: argparse.Namespace) -> int:
    """Score all heads, switch the highest off, and print both.

    Raises
    ------
    UserError
        If the model has no heads to be seen, or the texts are too short.
    """
    texts = _texts(given)
    loaded = _opened(given)
    from engine.studies.heads import Order, heads_job
    from gui.studies.heads import STUDY

    looking = _looking(given)
    if not (given.texts or given.corpus) and given.late + given.around >= loaded.info.max_tokens:
        texts = ()
    order = Order(
        texts=texts,
        looking=looking,
        sequences=given.sequences,
        period=given.period,
        top=given.top,
        ablation=given.ablation,
        seed=given.seed,
        patience=PATIENCE,
        fresh=given.fresh,
    )
    study = _followed(heads_job(loaded, order))
    _give(given, STUDY, study, loaded)
    if study.refused:
        say(study.refused)
    elif not texts and given.top:
        say(f"{loaded.info.title} reads too few tokens for the in-context learning score.")
    if not given.json:
        scores = [line for line in STUDY.lines(study) if "layer" in line]
        highest = sorted(scores, key=lambda line: -line["induction"])[:10]
        print_table(highest, ["layer", "head", "induction", "prefix_matching"])
        effects = [
            {**line, "heads": " ".join(f"L{at}H{head}" for at, head in line["heads"]) or "-"}
            for line in STUDY.lines(study)
            if "off" in line
        ]
        names = ["off", "second_half_loss", "second_half_accuracy", "icl_score"]
        print_table(effects, [*names, "icl_score_low", "icl_score_high", "induction", "heads"])
    return DONE


def _opened(given: argparse.Namespace) -> Loaded:
    if given.out is not None:
        format_for(given.out)  # what is wrong with it is told before hours of work
    return opened(given.model, given.device or "auto", given.dtype or "auto")


def _texts(given: argparse.Namespace) -> tuple[Text, ...]:
    from engine.latent.corpus_texts import read_corpus

    return read_corpus([*given.texts, *given.corpus] or [Path("samples")])


def _looking(given: argparse.Namespace) -> Looking:
    from engine.studies.windows import Looking

    return Looking(given.early, given.late, given.around, given.most)


def _followed(steps: Generator[Progress, None, S]) -> S:
    try:
        return finish(steps)
    except KeyboardInterrupt:
        say("what was measured is kept; the same command goes on from there.")
        raise


def _give(given: argparse.Namespace, spec: StudySpec[S], study: S, loaded: Loaded) -> None:
    """Print the lines, where JSON is asked for, and write the file, where one is."""
    from gui.studies.spec import export_study

    if given.json:
        for line in spec.lines(study):
            print(json.dumps(finite(line), ensure_ascii=False), flush=True)
    if given.out is None:
        return
    info = loaded.info
    made: dict[str, object] = {
        "model": info.name,
        "model_title": info.title,
        "model_sha256": info.fingerprint,
        "device": info.device,
        "dtype": info.dtype,
        "command": shlex.join(["python", "main.py", *sys.argv[1:]]),
    }
    export_study(spec, study, given.out, made)


def finite(line: Line) -> Line:
    """Numbers that are none become null, which JSON knows."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in line.items()
    }


def print_table(lines: list[Line], names: list[str]) -> None:
    """Print these entries of the lines, in columns."""
    rows = [names, *([_shown(line[name]) for name in names] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
