"""Studies from the window: what is asked for, and the job that measures it.

The engine's jobs are imported on the engine's thread, so that the window stays free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.errors import UserError
from engine.studies.values import Heads, KShot, Positions
from engine.tasks.taskfile import Task
from engine.types import ModelInfo, Progress

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.models.loader import Loaded

StudyKind = Literal["kshot", "position", "heads"]
Study = KShot | Positions | Heads
Steps = Generator[Progress, None, Study]

TITLES: Mapping[StudyKind, str] = {
    "kshot": "k-shot curve",
    "position": "loss by position",
    "heads": "heads that look back",
}


@dataclass(frozen=True, slots=True)
class StudyChoice:
    """What the user wants measured, and of which model.

    `settings` are fields of the study's own settings in engine/studies: of `kshot.Settings`, where
    no `shots` stand for as many as fit; of `windows.Looking`; of `heads.Order`, its `looking` being
    those of `windows.Looking`. `corpus` are files and folders; none is `text`, the context.
    """

    kind: StudyKind
    model: str
    title: str
    fingerprint: str
    settings: Mapping[str, Any]
    task: Task | None = None
    corpus: tuple[Path, ...] = ()
    text: str = ""
    looking: Mapping[str, int] = field(default_factory=dict)
    fresh: bool = False

    def is_of(self, model: ModelInfo) -> bool:
        """Whether `model` is the one that is measured; not all have weights that were hashed."""
        return (model.name, model.fingerprint) == (self.model, self.fingerprint)


def study_job(choice: StudyChoice) -> Callable[[Engine], Steps]:
    """The job that measures; its value is a `KShot`, `Positions` or `Heads`."""

    def run(engine: Engine) -> Steps:
        loaded = engine.loaded
        if loaded is None or not choice.is_of(loaded.info):
            raise _changed(choice)
        makers = {"kshot": _kshot, "position": _position, "heads": _heads}
        steps = makers[choice.kind](loaded, choice)
        try:
            while True:
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    found: Study = stop.value
                    return found
                yield progress
                if engine.loaded is not loaded:
                    raise _changed(choice)
        finally:
            steps.close()

    return run


def _kshot(loaded: Loaded, choice: StudyChoice) -> Steps:
    from engine.studies.kshot import Order, Settings, fitting_shots, kshot_job

    assert choice.task is not None
    settings = dict(choice.settings)
    if not settings.get("shots"):
        tried = Settings(**{**settings, "shots": (0,)})
        settings["shots"] = yield from fitting_shots(loaded, Order(choice.task, tried))
    order = Order(choice.task, Settings(**settings), fresh=choice.fresh)
    return (yield from kshot_job(loaded, order))


def _position(loaded: Loaded, choice: StudyChoice) -> Steps:
    from engine.studies.position import Order, position_job
    from engine.studies.windows import Looking

    looking = Looking(**choice.looking)
    order = Order(_texts(choice), looking, fresh=choice.fresh)
    return (yield from position_job(loaded, order))


def _heads(loaded: Loaded, choice: StudyChoice) -> Steps:
    from engine.studies.heads import Order, heads_job
    from engine.studies.windows import Looking

    looking = Looking(**choice.looking)
    texts = _texts(choice)
    if looking.late + looking.around >= loaded.info.max_tokens:
        texts = ()  # the model reads too few tokens for that score; the others do not need it
    order = Order(texts=texts, looking=looking, fresh=choice.fresh, **choice.settings)
    return (yield from heads_job(loaded, order))


def _texts(choice: StudyChoice) -> tuple[Any, ...]:
    from engine.latent.corpus_texts import Text, read_corpus

    if not choice.corpus:
        return (Text("context", choice.text),)
    return tuple(read_corpus(list(choice.corpus)))


def _changed(choice: StudyChoice) -> UserError:
    return UserError(
        f"Cannot go on with the study ({TITLES[choice.kind]})",
        f"{choice.title} is no longer the model that is open",
        "What was measured is kept: open it and start once more",
    )
