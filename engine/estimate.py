"""How many bytes a model or a pass will take, from shapes, before anything is allocated.

Held to what is measured by tests/engine/test_memory.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.arena import capacity
from engine.types import AttentionQuery, EmbeddingQuery, MosaicQuery, NextQuery, Query

JUDGED = 64
"""Positions that go through the output embedding at a time."""

ROWS = 256
"""Rows of attention that are worked out at a time."""

TAKEN_BACK = 4
"""Of so many last tokens a probe keeps what lets it take them back one by one. A typed letter makes
another token of the last one, merges the last two, or cuts the last three anew; one is to spare."""


_WITHIN = 7
"""Rows as wide as the MLP that are held at a time, by an activation written out in Python."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the bytes of a pass depend on.

    `attentions` counts the modules that attend, `states` the depths of the residual stream, over
    all stacks. `inner` is the width within an MLP, `scan` numbers a token that a state-space model
    unrolls, `biases` tables of a bias for each head and pair of tokens, `itemsize` the bytes of one
    number. With `cached`, keys and values are kept; with `eager`, maps are made in passing.
    """

    attentions: int
    states: int
    heads: int
    key_heads: int
    head_width: int
    width: int
    inner: int
    vocabulary: int
    itemsize: int
    scan: int = 0
    biases: int = 0
    cached: bool = False
    eager: bool = False

    @classmethod
    def of(cls, config: Any, blocks: Sequence[int], itemsize: int, **how: bool) -> Sizes:
        """Read a transformers configuration; `blocks` are the depths of the stacks."""

        def named(*names: str) -> int:
            found = (getattr(config, name, None) for name in names)
            return next((one for one in found if isinstance(one, int) and one > 0), 0)

        width, heads = named("hidden_size", "d_model"), named("num_attention_heads", "num_heads")
        inner = named("intermediate_size", "n_inner", "ffn_dim", "d_ff", "encoder_ffn_dim")
        wide = max(inner or 4 * width, named("decoder_ffn_dim"))
        cross = blocks[1] if len(blocks) > 1 else 0
        return cls(
            attentions=sum(blocks) + cross,
            states=sum(blocks) + len(blocks),
            heads=heads,
            key_heads=named("num_key_value_heads") or heads,
            head_width=named("head_dim", "d_kv") or (width // heads if heads else 0),
            width=width,
            inner=wide * max(1, named("num_experts_per_tok")),
            vocabulary=named("vocab_size"),
            itemsize=itemsize,
            scan=wide * named("state_size", "ssm_state_size", "mamba_d_state"),
            biases=2 * len(blocks) - 1 if named("relative_attention_num_buckets") else 0,
            **how,
        )

    def held(self, count: int) -> int:
        """Bytes a trace of `count` tokens holds on its device, room to grow included."""
        keys = self.key_heads * self.head_width * (2 if self.cached else 1)
        numbers = self.states * self.width + self.width
        numbers += self.attentions * (self.heads * self.head_width + keys)
        biases = self.biases * self.heads * count**2
        return (capacity(count) * numbers + biases) * self.itemsize

    def passing(self, new: int, count: int) -> int:
        """Bytes that a pass of `new` of `count` tokens takes on top, at its peak within a block."""
        numbers = 4 * new * (self.heads + self.key_heads) * self.head_width
        numbers += 2 * count * self.heads * self.head_width  # keys and values, repeated
        numbers += 2 * new * count  # the mask, as what is added to the scores
        if self.eager:
            numbers += 3 * self.heads * new * count
        attending = numbers * self.itemsize + 2 * new * count
        if self.biases:
            attending += new * count * (4 * 8 + self.heads * self.itemsize)  # distances, by bucket
        between = (_WITHIN * self.inner + 4 * self.scan) * new * self.itemsize
        return 6 * new * self.width * self.itemsize + max(attending, between)

    def asking(self, queries: Iterable[Query], new: int, count: int) -> int:
        """Bytes that answers take: all that is kept, and the most that one takes for a moment."""
        each = [self._asking(query, new, count) for query in queries]
        return sum(kept for kept, _ in each) + max((moment for _, moment in each), default=0)

    def _asking(self, query: Query, new: int, count: int) -> tuple[int, int]:
        """What stays with the trace and in the answer, and what is let go once it is there."""
        rows = 3 * 4 * self.heads * min(count, ROWS) * count  # scores, and their softmax
        match query:
            case AttentionQuery(head=None):
                return 4 * self.heads * count**2, 2 * 4 * self.heads * count**2
            case AttentionQuery():
                return 3 * 4 * count**2, rows  # the map before, the one shown, its copy
            case MosaicQuery():
                cells = 2 * (query.size + 1) ** 2 + TAKEN_BACK * (query.size + 1)
                return 4 * self.attentions * self.heads * cells, rows
            case NextQuery():
                held = TAKEN_BACK * 4 * self.vocabulary
                return held, min(new + 1, JUDGED) * self.vocabulary * (16 + self.itemsize)
            case EmbeddingQuery(picture=True):
                # States, and the products of rows or of columns, whichever are fewer.
                products = 8 * min(capacity(count), self.width) ** 2
                return 4 * capacity(count) * self.width + products, 3 * 8 * count * self.width
        return 4 * count * self.width, 2 * 8 * count * self.width


def weight_bytes(files: Iterable[Path], itemsize: int) -> int:
    """Bytes of the weights in safetensors files, floating ones brought to `itemsize` each.

    Only headers are read.

    Raises
    ------
    OSError, ValueError
        If one cannot be read; loading then says why.
    """
    total = 0
    for path in files:
        with path.open("rb") as file:
            header = file.read(int.from_bytes(file.read(8), "little"))
        table = msgspec.json.decode(header, type=dict[str, Any])
        for name, entry in table.items():
            if name == "__metadata__":
                continue
            try:
                low, high = entry["data_offsets"]
                own = _FLOATS.get(entry["dtype"])
                total += high - low if own is None else (high - low) // own * itemsize
            except (KeyError, TypeError) as error:
                raise ValueError(f"{path.name} is not a safetensors file") from error
    return total


_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
