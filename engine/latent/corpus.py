"""Token states of a model's layers, collected from texts.

A passage starts where a sentence starts, as what a user types does, and is run the way a typed text
is run, through the loaded model's reader. So a state collected here is the state a view shows.

Shape letters: N states, D model width.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import UserError
from engine.files import replacing
from engine.lab.corpus import unwrap
from engine.models.loader import Loaded
from engine.models.text import without_surrogates
from engine.types import Progress

_SENTENCE = re.compile(r"(?:[.!?][\"'”’)]*|\n)\s+(?=\S)")
# No tokenizer makes fewer tokens of prose than one a dozen characters; what is more than needed is
# cut after tokenizing, so that the last token of a passage is a whole one.
_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Text:
    """A text and what it is called in the picture."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Passages:
    """How texts are cut: about `tokens` tokens in all, as many of each text, `length` a passage."""

    tokens: int = 60_000
    length: int = 128


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """States of one layer.

    `values` (N, D) float32 on the CPU. `labels` (N,) index `names`; `passages` (N,) number the
    passage a state stands in, `positions` (N,) its place there, `ids` (N,) its token.
    """

    layer: int
    values: Tensor
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    passages: NDArray[np.int64]
    positions: NDArray[np.int64]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, chosen: NDArray[np.bool_]) -> States:
        """The states `chosen` (N,) marks."""
        return States(
            layer=self.layer,
            values=self.values[torch.from_numpy(chosen)],
            labels=self.labels[chosen],
            names=self.names,
            passages=self.passages[chosen],
            positions=self.positions[chosen],
            ids=self.ids[chosen],
        )


def read_texts(folder: Path) -> tuple[Text, ...]:
    """Read every ``.txt`` of a folder, or one file; each is labelled with its name.

    Lines broken at a fixed width are joined, because people do not type that way.

    Raises
    ------
    UserError
        If there is nothing to read.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.txt"))
    if not paths:
        raise UserError(
            f"Cannot collect states from {folder}",
            "it holds no .txt file" if folder.is_dir() else "there is no such folder",
            "Name a folder of plain texts",
        )
    texts = []
    for path in paths:
        try:
            text = unwrap(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"Cannot read {path}", str(error), "Use plain texts in UTF-8"
            ) from error
        texts.append(Text(path.stem, without_surrogates(text)))
    return tuple(texts)


def sentence_starts(text: str) -> NDArray[np.int64]:
    """Offsets in characters at which a sentence or a paragraph starts, rising, 0 among them."""
    return np.array([0, *(match.end() for match in _SENTENCE.finditer(text))], dtype=np.int64)


def collect_steps(
    loaded: Loaded, texts: Sequence[Text], layers: Sequence[int], cutting: Passages
) -> Generator[Progress, None, dict[int, States]]:
    """Run passages of `texts` through a model; the value has the states of each layer.

    Special tokens that stand for no text are run, not collected. Yields after each passage.

    Raises
    ------
    UserError
        If the model has no such layer or the texts come to no token.
    """
    info = loaded.info
    stack = info.stacks[0]
    for layer in layers:
        if not 0 <= layer <= info.layers:
            raise UserError(
                f"Cannot collect states of layer {layer}",
                f"{info.title} has layers 0 to {info.layers}",
                "Choose one of them",
            )
    each = max(1, round(cutting.tokens / max(1, len(texts)) / cutting.length))
    pieces: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    ids: list[int] = []
    labels, passages, positions = [], [], []
    ran = 0
    for label, text in enumerate(texts):
        starts, end = sentence_starts(text.text), 0
        for wanted in np.linspace(0, len(text.text), each, endpoint=False):
            # Passages never overlap: some of them are held out.
            index = int(np.searchsorted(starts, max(int(wanted), end)))
            if index == len(starts):
                break
            start = int(starts[index])
            taken, body, length = _passage(loaded, text.text[start:], cutting.length)
            end = start + max(1, length)
            if not body:
                continue
            with torch.inference_mode():
                trace, _ = loaded.reader.read(None, taken, _target(loaded), lambda: False)
                for layer in layers:
                    rows = trace.states[stack][layer].rows()[body]  # (t, D)
                    pieces[layer].append(rows.float().cpu().clone())
            ids += [taken[i] for i in body]
            labels += [label] * len(body)
            passages += [ran] * len(body)
            positions += body
            ran += 1
            yield Progress(
                f"Reading {text.label}: {len(ids):,} states", min(1.0, ran / (each * len(texts)))
            )
    if not ids:
        raise UserError(
            "Cannot collect states", "the texts come to no token", "Choose texts that are not empty"
        )
    return {
        layer: States(
            layer=layer,
            values=torch.cat(found),
            labels=np.array(labels, dtype=np.int64),
            names=tuple(text.label for text in texts),
            passages=np.array(passages, dtype=np.int64),
            positions=np.array(positions, dtype=np.int64),
            ids=np.array(ids, dtype=np.int64),
        )
        for layer, found in pieces.items()
    }


def _passage(loaded: Loaded, text: str, length: int) -> tuple[list[int], list[int], int]:
    """The beginning of `text`: ids to run, which of them stand for text, and characters read."""
    tokens = loaded.reader_of_text.read(text[: length * _CHARACTERS])
    body = [i for i, token in enumerate(tokens) if not token.special][:length]
    if not body:
        return [], [], 0
    tail = [i for i in range(body[-1] + 1, len(tokens)) if tokens[i].special]
    most = loaded.info.max_tokens - len(tail)
    body = [i for i in body if i < most]
    taken = [*range(body[-1] + 1), *tail] if body else []
    return [tokens[i].id for i in taken], body, tokens[body[-1]].end if body else 0


def _target(loaded: Loaded) -> list[int]:
    """What the decoder of an encoder-decoder is given, which reads no text here: its start."""
    if loaded.info.kind != "encoder-decoder":
        return []
    config = loaded.reader.model.config
    start = config.decoder_start_token_id
    return [config.pad_token_id if start is None else start]


def collection_key(fingerprint: str, texts: Sequence[Text], cutting: Passages) -> str:
    """A name for what `collect_steps` makes of a model and texts, alike only where all is alike."""
    digest = hashlib.sha256(f"{fingerprint} {cutting}".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.label.encode()).digest())
        digest.update(hashlib.sha256(text.text.encode()).digest())
    return digest.hexdigest()[:16]


def save_states(path: Path, states: States) -> None:
    """Write states to a safetensors file, whole or not at all."""
    tensors = {"values": states.values.contiguous()}
    for name in ("labels", "passages", "positions", "ids"):
        tensors[name] = torch.from_numpy(getattr(states, name))
    names = {str(index): name for index, name in enumerate(states.names)}
    with replacing(path) as beside:
        save_file(tensors, beside, {"layer": str(states.layer), **names})


def load_states(path: Path) -> States | None:
    """What `save_states` wrote, or None where there is no such file or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            told = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return States(
                layer=int(told.pop("layer")),
                values=tensors["values"],
                labels=tensors["labels"].numpy(),
                names=tuple(told[str(index)] for index in range(len(told))),
                passages=tensors["passages"].numpy(),
                positions=tensors["positions"].numpy(),
                ids=tensors["ids"].numpy(),
            )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
