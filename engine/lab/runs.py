"""A run's folder: what it is a run of, its curves, and where a run that was killed goes on.

The folder is the model's own as it was at the last point, so that it opens like any other. Beside
the model lie ``run.json`` and ``curves.jsonl``, a point a line; ``checkpoints`` holds a model's
folder for each step that is a power of two; ``state.safetensors``, while a run is not at its end,
all it goes on from; ``probe.npz`` what a row that is held out leaves in the model as it is.
Nothing in it is a pickle. No torch in here: a window may read runs to compare them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from engine.errors import UserError
from engine.files import disk_error, replacing
from engine.lab.settings import Settings, differing
from engine.types import Floats

FORMAT = 1
CARD, CURVES, STATE, CHECKPOINTS = "run.json", "curves.jsonl", "state.safetensors", "checkpoints"
PROBE = "probe.npz"

Ended = Literal["", "done", "diverged"]
"""How a run ended; empty while it has not."""


class Point(msgspec.Struct, frozen=True):
    """What was measured after a step: a point of each curve.

    Attributes
    ----------
    step, tokens : int
        Updates made, and tokens seen by them.
    train_loss, train_accuracy : float or None
        Over the learnt targets since the point before; None before the first step. Nats, share.
    loss, accuracy : float
        Over the judged targets of rows that are held out. Nats, share.
    in_context_score : float
        Loss at a late target less that at an early one, nats; below 0 where the context helped.
    second_half_accuracy : float or None
        Of what repeats, where random tokens are repeated.
    by_position : tuple of float
        Held-out loss of each target, nats.
    induction : tuple of tuples or None
        Induction score of each layer's heads; None for an LSTM.
    seconds : float
        Spent training and measuring so far. The only figure that another run does not repeat.
    """

    step: int
    tokens: int
    train_loss: float | None
    train_accuracy: float | None
    loss: float
    accuracy: float
    in_context_score: float
    second_half_accuracy: float | None
    by_position: tuple[float, ...]
    induction: tuple[tuple[float, ...], ...] | None
    seconds: float

    @property
    def best_head(self) -> tuple[int, int, float] | None:
        """Layer and head, both from 0, of the highest induction score, and that score."""
        if not self.induction:
            return None
        return max(
            (
                (layer, head, s)
                for layer, row in enumerate(self.induction)
                for head, s in enumerate(row)
            ),
            key=lambda entry: entry[2],
        )


class Card(msgspec.Struct, frozen=True):
    """What ``run.json`` says.

    Attributes
    ----------
    settings : Settings
    fingerprint : str
        Of the texts trained on; empty where rows are made.
    corpus : tuple of str
        What was named on the command line.
    parameters, vocabulary, length : int
        Numbers that are learnt, entries of the tokenizer, tokens of a row.
    early, late : int
        The targets of the in-context learning score.
    ended : str
        See `Ended`.
    said : str
        Why it ended before its last step.
    """

    settings: Settings
    fingerprint: str
    corpus: tuple[str, ...]
    parameters: int
    vocabulary: int
    length: int
    early: int
    late: int
    command: str = ""
    threads: int = 0
    torch: str = ""
    date: str = ""
    ended: Ended = ""
    said: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What a held-out row leaves in the model of step `step`.

    `tokens` (T,) as they are drawn; `attention` (L, H, T, T) all maps, None where nothing attends;
    `states` (T, D) what the output embedding reads.
    """

    step: int
    tokens: tuple[str, ...]
    attention: Floats | None
    states: Floats


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its folder has it: what the curves of several are compared from."""

    folder: Path
    card: Card
    points: tuple[Point, ...]

    @property
    def title(self) -> str:
        """What sets it apart, in a few words."""
        one = self.card.settings
        kind = one.arch if one.arch == "lstm" else "attention only" if not one.inner else one.arch
        layers = f"{one.layers} layer{'s' * (one.layers != 1)}"
        return f"{one.task}: {kind}, {layers}, width {one.width}, seed {one.seed}"

    @property
    def checkpoints(self) -> tuple[tuple[int, Path], ...]:
        """Steps and the folders of the models they left, in order."""
        found = (self.folder / CHECKPOINTS).glob("step-*")
        return tuple(
            (int(path.name.removeprefix("step-")), path)
            for path in sorted(found)
            if (path / "config.json").is_file()
        )


def read_run(folder: Path) -> Run:
    """Read a run, at its end or not.

    Raises
    ------
    UserError
        If the folder holds none, or it is damaged.
    """
    what = f"Cannot read the run in {folder}"
    path = folder / CARD
    if not path.is_file():
        raise UserError(
            what,
            f"it holds no {CARD}" if folder.is_dir() else "there is no such folder",
            "Name a folder that lab train has written",
        )
    do = "Train it again, in another folder"
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
        text = (folder / CURVES).read_bytes() if (folder / CURVES).is_file() else b""
        # A run that was killed may have left half a line.
        lines = text.split(b"\n")[:-1]
        points = tuple(msgspec.json.decode(line, type=Point) for line in lines)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(what, f"it is damaged ({error})", do) from error
    if card.format != FORMAT:
        raise UserError(what, "another version of the program wrote it", do)
    return Run(folder, card, points)


def read_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """Read several runs to compare them, in the order given.

    Raises
    ------
    UserError
        If one cannot be read.
    """
    return tuple(read_run(folder) for folder in folders)


def unfinished(folder: Path, settings: Settings, fingerprint: str) -> Run | None:
    """The run in `folder`, if it is one of these settings and texts; None if nothing is there yet.

    Raises
    ------
    UserError
        If the folder holds anything else, which is left as it is.
    """
    what = f"Cannot train into {folder}"
    another = "Choose another folder"
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError(what, "it is a file", another)
    if not (folder / CARD).is_file():
        # What `replacing` was killed at is no reason to refuse.
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise UserError(what, "it holds something that is not a run of the laboratory", another)
        return None
    run = read_run(folder)
    told = differing(run.card.settings, settings)
    if told:
        raise UserError(what, f"it holds a run with {told}", f"{another}, or the same settings")
    if run.card.fingerprint != fingerprint:
        raise UserError(what, "it holds a run on other texts", another)
    if run.card.ended == "diverged":
        raise UserError(
            what, f"the run in it diverged: {run.card.said}", f"{another} and lower --rate"
        )
    return run


def write_card(folder: Path, card: Card) -> None:
    """Write ``run.json``, whole or not at all."""
    with replacing(folder / CARD) as beside:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def write_curves(folder: Path, points: Sequence[Point]) -> None:
    """Write all points, in place of those there are."""
    with replacing(folder / CURVES) as beside:
        beside.write_bytes(b"".join(msgspec.json.encode(point) + b"\n" for point in points))


def add_point(folder: Path, point: Point) -> None:
    """Write one more point behind the others."""
    try:
        with (folder / CURVES).open("ab") as file:
            file.write(msgspec.json.encode(point) + b"\n")
    except OSError as error:
        raise disk_error(folder / CURVES, error) from error


def write_probe(folder: Path, probe: Probe) -> None:
    """Write ``probe.npz``, whole or not at all."""
    tokens = np.array(probe.tokens, np.str_)
    none = np.zeros((0, 0, 0, 0), np.float32)
    maps = none if probe.attention is None else probe.attention
    with replacing(folder / PROBE) as beside, beside.open("wb") as stream:
        np.savez(stream, step=probe.step, tokens=tokens, states=probe.states, attention=maps)


def read_probe(folder: Path) -> Probe | None:
    """The last probe of a run; None where there is none, or it is damaged."""
    try:
        with np.load(folder / PROBE, allow_pickle=False) as found:
            tokens = tuple(str(token) for token in found["tokens"])
            maps = found["attention"]
            attention = maps if len(maps) else None
            return Probe(int(found["step"]), tokens, attention, found["states"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the model of a step lies."""
    return folder / CHECKPOINTS / f"step-{step:08d}"


def is_kept(step: int, steps: int) -> bool:
    """Whether a step of a run of `steps` leaves a checkpoint: 0, the powers of two, the last."""
    return step in (0, steps) or step & (step - 1) == 0
