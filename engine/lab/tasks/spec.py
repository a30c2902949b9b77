"""What a task of the laboratory is. A new one is one file beside this with a `TASK` record.

Shape letters: B rows, T tokens of a row.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from engine.errors import UserError
from engine.lab import tasks

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

UNKNOWN = "<unk>"
"""Entry 0 of every vocabulary of characters: what was never seen."""

HELD_OUT_SEED = 104_729
"""Of the rows that are never trained on, where a task makes its rows: training's seeds begin with
the run's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a task.

    Attributes
    ----------
    ids : (B, T) int64
    learnt, judged : (B, T − 1) bool
        Which of the targets ``ids[:, 1:]`` enter the loss that is trained, and which of them loss
        and accuracy are told of: those that something before them decides.
    """

    ids: Ids
    learnt: Mask
    judged: Mask

    def __len__(self) -> int:
        return len(self.ids)


class Task(ABC):
    """Rows to learn from and to be judged by.

    Attributes
    ----------
    tokenizer : Tokenizer
        Turns a typed text into the rows' tokens.
    length : int
        T.
    early, late : int
        Targets, from 0, whose losses the in-context learning score takes the difference of.
    """

    tokenizer: Tokenizer
    length: int
    early: int
    late: int

    @property
    def vocabulary(self) -> int:
        """How many entries the tokenizer has."""
        return int(self.tokenizer.get_vocab_size())

    @property
    def fingerprint(self) -> str:
        """A name for the texts that are learnt from; empty where rows are made."""
        return ""

    @property
    def unknown(self) -> int:
        """How many of the judged tokens the vocabulary does not have."""
        return 0

    @abstractmethod
    def rows(self, rng: np.random.Generator, count: int) -> Rows:
        """`count` rows to train on, drawn with `rng`."""

    @abstractmethod
    def held_out(self, most: int) -> Rows:
        """At most `most` rows, always the same, that `rows` never gives."""

    def keep(self, folder: Path) -> None:  # noqa: B027 - most have nothing to keep
        """Leave in a run's folder what judging it later will take."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task's entry.

    Parameters
    ----------
    key, says : str
        Its name on the command line, and one sentence on what is to be learnt.
    options : type
        A frozen dataclass of its own choices, all with defaults.
    make : callable
        Of options and a corpus, the task to train on.
    again : callable
        Of options, a corpus (which may be empty) and the folder of a run, the task to judge by.
    reads : bool
        Whether it learns from texts of the user's.
    defaults : mapping of architecture to mapping
        Fields of `engine.lab.settings.Settings` with which it was seen to be learnt.
    """

    key: str
    says: str
    options: type[Any]
    make: Callable[[Any, Sequence[Path]], Task]
    again: Callable[[Any, Sequence[Path], Path], Task]
    reads: bool = False
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def task_specs() -> Mapping[str, TaskSpec]:
    """Find every task there is, by its name.

    Raises
    ------
    TypeError
        If a module in engine/lab/tasks/ has no `TASK` record.
    """
    specs: dict[str, TaskSpec] = {}
    for module in pkgutil.iter_modules(tasks.__path__, f"{tasks.__name__}."):
        if module.name.endswith(".spec"):
            continue
        spec = getattr(importlib.import_module(module.name), "TASK", None)
        if not isinstance(spec, TaskSpec):
            raise TypeError(f"{module.name} has no TASK record")
        specs[spec.key] = spec
    return specs


def made(kind: type[Any], key: str) -> tuple[Callable[..., Task], Callable[..., Task]]:
    """`make` and `again` of a task that makes its rows, from options alone."""

    def make(options: Any, corpus: Sequence[Path]) -> Task:
        if corpus:
            raise UserError(
                f"Cannot take texts for the task {key}",
                "its rows are made, not read",
                "Leave --corpus out, or choose the task text",
            )
        task: Task = kind(options)
        return task

    def again(options: Any, corpus: Sequence[Path], _folder: Path) -> Task:
        return make(options, corpus)

    return make, again


def characters(alphabet: str) -> Tokenizer:
    """A tokenizer whose entries are `UNKNOWN` and the characters of `alphabet`, in its order."""
    entries = {UNKNOWN: 0, **{letter: place for place, letter in enumerate(alphabet, 1)}}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token=UNKNOWN))
    # Each character is a piece, line ends included.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def letters(count: int, what: str) -> str:
    """`count` different letters and digits that can be typed.

    Raises
    ------
    UserError
        If there are not so many.
    """
    found = [chr(code) for code in range(0x30, 0x590) if chr(code).isalnum()]
    if not 2 <= count <= len(found):
        raise UserError(
            what,
            f"a vocabulary of {count} is asked for",
            f"Choose from 2 to {len(found)}, one letter each",
        )
    return "".join(found[:count])
