"""States of a model's layer, of tokens or of sentences, collected from texts.

A passage starts where a sentence starts, as what a user types does. What is collected is what a
view would show of the same text: texts of equal length run together, which changes nothing.

Shape letters: N states, D model width, T tokens.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.latent.corpus_memory import CHARACTERS, Work, least, require_room
from engine.latent.corpus_passes import Passes
from engine.latent.corpus_sentences import LONGEST, marks, plain, spans
from engine.latent.corpus_texts import Text, named, read_texts
from engine.latent.tensors import write
from engine.models.loader import Loaded
from engine.types import Kind, Pooling, Progress

__all__ = ["Pooling", "Text", "read_texts"]  # given on

POOLINGS: tuple[Pooling, ...] = ("tokens", "mean", "last")

_NEIGHBOURS = 10  # sentences that are held out together
_MOST_AT_ONCE = 4096  # tokens in one pass
_CHUNK = 16  # tokens of a long passage that a step runs while somebody types


@dataclass(frozen=True, slots=True)
class Passages:
    """How much of texts is read, as much of each label as of any other.

    Of token states about `tokens` tokens in passages of `length`; of sentence states at most
    `sentences` of them, each cut after `length` tokens. Of each text the `share` at its beginning.
    """

    tokens: int = 60_000
    length: int = 128
    sentences: int = 8_000
    share: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """States of one layer.

    `values` (N, D) float32 on the CPU. `labels` (N,) index `names`; `passages` (N,) number the
    passage a state stands in, `positions` (N,) its place there, `ids` (N,) its token. Of sentences,
    ten neighbours count as one passage, and `positions` and `ids` are 0. `marks` (M,) are those of
    all sentences that were read, in part or whole, `marked` (M,) the passages they stand in.
    """

    layer: int
    values: Tensor
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    passages: NDArray[np.int64]
    positions: NDArray[np.int64]
    ids: NDArray[np.int64]
    pooling: Pooling = "tokens"
    marks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    marked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, chosen: NDArray[np.bool_]) -> States:
        """The states `chosen` (N,) marks."""
        there = np.isin(self.marked, self.passages[chosen])
        return States(
            layer=self.layer,
            values=self.values[torch.from_numpy(chosen)],
            labels=self.labels[chosen],
            names=self.names,
            passages=self.passages[chosen],
            positions=self.positions[chosen],
            ids=self.ids[chosen],
            pooling=self.pooling,
            marks=self.marks[there],
            marked=self.marked[there],
        )


@dataclass(frozen=True, slots=True)
class Unit:
    """What is run by itself: ids, those of them that stand for text, and where it is from.

    `places` are the offsets in `text` of what stands in the `body`.
    """

    label: int
    passage: int
    ids: list[int]
    body: list[int]
    marks: NDArray[np.int64]
    text: str
    places: list[tuple[int, int]]


def sentence_starts(text: str) -> NDArray[np.int64]:
    """Offsets in characters at which a sentence or a paragraph starts, rising, 0 among them."""
    return np.array(sorted({0, *(start for start, _ in spans(text))}), dtype=np.int64)


def collect_steps(
    loaded: Loaded,
    texts: Sequence[Text],
    layers: Sequence[int],
    cutting: Passages,
    pooling: Pooling = "tokens",
    patience: float = 0.25,
    work: Work = Work(),  # noqa: B008 - it is frozen
) -> Generator[Progress, None, dict[int, States]]:
    """Run passages or sentences of `texts` through a model; the value has each layer's states.

    Special tokens that stand for no text are run, not collected. As many texts run at once as take
    about `patience` seconds, then it yields; a sentence, or 16 tokens of a causal model's passage,
    is the least.

    Parameters
    ----------
    work : Work
        What will be done with the states, which has to fit into memory with them.

    Raises
    ------
    UserError
        If the model has no such layer, the texts come to no token, or their states would not fit
        into memory.
    """
    info = loaded.info
    for layer in layers:
        if not 0 <= layer <= info.layers:
            raise UserError(
                f"Cannot collect states of layer {layer}",
                f"{info.title} has layers 0 to {info.layers}",
                "Choose one of them",
            )
    names = named(texts)
    # Cutting a shelf of texts takes minutes too, and memory: what will never fit is told before.
    require_room(least(texts, cutting, pooling), info.width * len(layers), work, pooling)
    units = yield from units_steps(loaded, texts, cutting, pooling)
    if not units:
        raise UserError(
            "Cannot collect states", "the texts come to no token", "Choose texts that are not empty"
        )
    require_room(sum(counts_of(units, pooling)), info.width * len(layers), work, pooling)
    found = {}
    for layer in layers:
        found[layer] = yield from run_steps(loaded, units, layer, names, pooling, patience)
    return found


def run_steps(
    loaded: Loaded,
    units: Sequence[Unit],
    layer: int,
    names: tuple[str, ...],
    pooling: Pooling,
    patience: float = 0.25,
) -> Generator[Progress, None, States]:
    """Run what `units_steps` cut, or some of it; the value has its states, labelled by `names`."""
    values = yield from _run(loaded, units, layer, pooling, patience)
    return _joined(layer, units, values, names, pooling)


def counts_of(units: Sequence[Unit], pooling: Pooling) -> list[int]:
    """How many states each of `units` gives: one for each of its tokens, or one."""
    return [len(unit.body) if pooling == "tokens" else 1 for unit in units]


def units_steps(
    loaded: Loaded, texts: Sequence[Text], cutting: Passages, pooling: Pooling
) -> Generator[Progress, None, list[Unit]]:
    """Cut texts into what is run; the states of each follow one another in the order of these."""
    cut = _sentences if pooling != "tokens" else _passages
    return (yield from cut(loaded, texts, named(texts), cutting))


def _passages(
    loaded: Loaded, texts: Sequence[Text], names: tuple[str, ...], cutting: Passages
) -> Generator[Progress, None, list[Unit]]:
    """Passages at even distances of each text."""
    units: list[Unit] = []
    texts = _thinned(texts, max(1, cutting.tokens // 8))
    each = max(1, round(cutting.tokens / max(1, len(texts)) / cutting.length))
    for text in texts:
        label = names.index(text.label)
        whole = text.text[: round(cutting.share * len(text.text))]
        places = spans(whole)
        starts, end = np.array([start for start, _ in places], dtype=np.int64), 0
        for wanted in np.linspace(0, len(whole), each, endpoint=False):
            # Passages never overlap: some of them are held out.
            index = int(np.searchsorted(starts, max(int(wanted), end)))
            if index == len(starts):
                break
            start = int(starts[index])
            cut = cut_to(loaded, whole[start:], cutting.length)
            end = start + max(1, cut.length)
            if not cut.body:
                continue
            read = [whole[a:b] for a, b in places[index:] if a < end]
            units.append(_unit(label, len(units), cut, marks(read), whole[start:end]))
            yield Progress(f"Cutting {text.label} into passages", 0.0)
    return units


def _sentences(
    loaded: Loaded, texts: Sequence[Text], names: tuple[str, ...], cutting: Passages
) -> Generator[Progress, None, list[Unit]]:
    """Sentences at even distances among those of each label."""
    units: list[Unit] = []
    passage = 0
    for label, name in enumerate(names):
        there: list[tuple[int, str]] = []  # a number for ten neighbours, and the sentence
        for text in texts:
            if text.label != name:
                continue
            if text.row:
                there.append((passage, text.text))
                passage += 1
                continue
            whole = text.text[: round(cutting.share * len(text.text))]
            for index, (start, end) in enumerate(spans(whole)):
                there.append((passage + index // _NEIGHBOURS, plain(whole[start:end])))
            passage = there[-1][0] + 1 if there else passage
        most = max(1, cutting.sentences // len(names))
        chosen = np.unique(np.linspace(0, len(there) - 1, min(most, len(there))).astype(int))
        for index in chosen.tolist():
            number, sentence = there[index]
            cut = cut_to(loaded, sentence[:LONGEST], cutting.length)
            if cut.body:
                units.append(_unit(label, number, cut, marks([sentence]), sentence))
            yield Progress(f"Cutting {name} into sentences", 0.0)
    return units


def _unit(label: int, passage: int, cut: Cut, known: NDArray[np.int64], text: str) -> Unit:
    return Unit(label, passage, cut.ids, cut.body, known, text, cut.places)


def _thinned(texts: Sequence[Text], most: int) -> list[Text]:
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(most, len(texts))).astype(int))
    return [texts[index] for index in chosen.tolist()]


def _run(
    loaded: Loaded, units: Sequence[Unit], layer: int, pooling: Pooling, patience: float
) -> Generator[Progress, None, Tensor]:
    """The states (N, D) of all units, in their order."""
    passes = Passes(loaded, layer)
    ends = list(accumulate(counts_of(units, pooling)))
    # Filled where it stays: all parts and all of them joined would be twice as much.
    values = torch.empty(ends[-1], loaded.info.width)
    order = sorted(range(len(units)), key=lambda index: (len(units[index].ids), index))
    found, done, total = 0, 0, sum(len(unit.ids) for unit in units)
    at_once = 1.0  # texts that take about as long as there is patience
    while order:
        length = len(units[order[0]].ids)
        most = max(1, min(int(at_once), _MOST_AT_ONCE // length))
        part = [index for index in order[:most] if len(units[index].ids) == length]
        order = order[len(part) :]
        begun = time.perf_counter()
        rows = [units[index].ids for index in part]
        if len(rows) == 1 and length > _CHUNK and passes.gradual and at_once <= 1 and done:
            states = yield from _gradually(passes, rows[0])
        else:
            states = passes.states(rows)
        for index, whole in zip(part, states, strict=True):
            body: Sequence[int] = units[index].body
            if pooling != "tokens":
                body = pooled_over(body, loaded.info.kind)
            given = pooled(whole[body], pooling)
            values[ends[index] - len(given) : ends[index]] = given
        lasted = (time.perf_counter() - begun) * _AHEAD
        found, done = found + len(part), done + length * len(part)
        at_once = min(2 * max(1.0, at_once), len(part) * patience / max(lasted, 1e-6))
        yield Progress(f"Reading: {found:,} of {len(units):,} {_NOUNS[pooling]}", done / total)
    return values


_AHEAD = 1.1  # texts get longer as the collecting goes on
_NOUNS: dict[Pooling, str] = {"tokens": "passages", "mean": "sentences", "last": "sentences"}


def _gradually(passes: Passes, ids: list[int]) -> Generator[Progress, None, Tensor]:
    """The states (1, T, D) of one text, a few tokens a step."""
    for states in passes.gradually(ids, _CHUNK):
        if states is not None:
            return states
        yield Progress("Reading", None)
    raise RuntimeError("a text came to no states")


def pooled_over(body: Sequence[int], kind: Kind) -> Sequence[int]:
    """Of the places `body` of a sentence's tokens, those whose states make up the sentence's.

    Of a causal model's, all but the first place of the text: what stands there has seen nothing
    but itself, and most models put a state there that is hundreds of times as long as any other
    and always the same ("attention sinks", Xiao et al. 2023, 2309.17453). A mean with it would
    tell how many tokens there are.
    """
    rest = [place for place in body if place > 0] if kind == "decoder" else body
    return rest or body


def pooled(rows: Tensor, pooling: Pooling) -> Tensor:
    """The state (1, D) of a sentence from those of its tokens (T, D), or those themselves."""
    if pooling == "tokens":
        return rows
    return rows[-1:].clone() if pooling == "last" else rows.mean(dim=0, keepdim=True)


def _joined(
    layer: int,
    units: Sequence[Unit],
    values: Tensor,
    names: tuple[str, ...],
    pooling: Pooling,
) -> States:
    counts = counts_of(units, pooling)
    tokens = pooling == "tokens"
    none = np.zeros(len(units), dtype=np.int64)
    positions = [np.array(unit.body) for unit in units] if tokens else [none]
    ids = [np.array([unit.ids[i] for i in unit.body]) for unit in units] if tokens else [none]
    return States(
        layer=layer,
        values=values,
        labels=np.repeat([unit.label for unit in units], counts).astype(np.int64),
        names=names,
        passages=np.repeat([unit.passage for unit in units], counts).astype(np.int64),
        positions=np.concatenate(positions).astype(np.int64),
        ids=np.concatenate(ids).astype(np.int64),
        pooling=pooling,
        marks=np.concatenate([unit.marks for unit in units]),
        marked=np.repeat(
            [unit.passage for unit in units], [len(unit.marks) for unit in units]
        ).astype(np.int64),
    )


class Cut(NamedTuple):
    """The beginning of a text: ids to run, which of them stand for text, and characters read.

    `places` are the offsets in characters of those that stand for text.
    """

    ids: list[int]
    body: list[int]
    length: int
    places: list[tuple[int, int]]


def cut_to(loaded: Loaded, text: str, length: int) -> Cut:
    """The beginning of `text`, at most `length` tokens that stand for text."""
    # More than is needed is read and cut afterwards: the last token of a passage is a whole one.
    tokens = loaded.reader_of_text.read(text[: length * CHARACTERS])
    body = [i for i, token in enumerate(tokens) if not token.special][:length]
    if not body:
        return Cut([], [], 0, [])
    tail = [i for i in range(body[-1] + 1, len(tokens)) if tokens[i].special]
    most = loaded.info.max_tokens - len(tail)
    body = [i for i in body if i < most]
    taken = [*range(body[-1] + 1), *tail] if body else []
    places = [(tokens[i].start, tokens[i].end) for i in body]
    return Cut([tokens[i].id for i in taken], body, places[-1][1] if body else 0, places)


_VERSION = 2  # of how texts are cut and run
_ARRAYS = ("labels", "passages", "positions", "ids", "marks", "marked")


def collection_key(
    fingerprint: str, texts: Sequence[Text], cutting: Passages, pooling: Pooling = "tokens"
) -> str:
    """A name for what `collect_steps` makes of a model and texts, alike only where all is alike."""
    digest = hashlib.sha256(f"{_VERSION} {fingerprint} {cutting} {pooling}".encode())
    for text in texts:
        digest.update(hashlib.sha256(f"{text.row} {text.label}".encode()).digest())
        digest.update(hashlib.sha256(text.text.encode()).digest())
    return digest.hexdigest()[:16]


def save_states(path: Path, states: States) -> None:
    """Write states to a safetensors file, whole or not at all."""
    tensors = {"values": states.values.contiguous()}
    for name in _ARRAYS:
        tensors[name] = torch.from_numpy(getattr(states, name))
    names = {str(index): name for index, name in enumerate(states.names)}
    write(path, tensors, {"layer": str(states.layer), "pooling": states.pooling, **names})


def load_states(path: Path) -> States | None:
    """What `save_states` wrote, or None where there is no such file or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            told = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            layer, pooling = int(told.pop("layer")), told.pop("pooling")
            if pooling not in POOLINGS:
                return None
            return States(
                layer=layer,
                values=tensors["values"],
                names=tuple(told[str(index)] for index in range(len(told))),
                pooling=pooling,
                **{name: tensors[name].numpy() for name in _ARRAYS},
            )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
