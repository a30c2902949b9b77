"""What takes how much memory, as lines for the panel and for its figure. No Qt, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.types import MemoryResult

Kind = Literal["held", "sum", "never", "free"]
"""Held; the sum of lines that are; what would have been and is not; what can still be had."""


@dataclass(frozen=True, slots=True)
class Line:
    """One bar: its stable name, what is written, its bytes, and a sentence with the formula."""

    key: str
    label: str
    bytes: int
    kind: Kind
    about: str


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that are drawn to one scale: a full bar is `full` bytes."""

    title: str
    lines: tuple[Line, ...]
    full: int


def amount(count: int) -> str:
    """`count` bytes in three or four digits: ``538.1 MB``, powers of ten as file managers do."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        # What would be rounded up to the next unit is written in that one.
        if count >= scale * 0.99995:
            return f"{count / scale:.{2 if unit == 'GB' else 1}f} {unit}"
    return f"{count} B"


def sections(found: MemoryResult) -> tuple[Section, Section]:
    """What the pass left, beside the maps it did not keep; and the machine."""
    left = (
        *_parts(found),
        Line(
            "trace",
            "all of it",
            found.trace,
            "sum",
            "The sum of the lines above, room for more tokens included.",
        ),
        *_contrast(found),
    )
    machine = (
        Line(
            "weights",
            "weights of the model",
            found.weights,
            "held",
            "All parameters of the model; on a processor they are read from their file as they "
            "are first used.",
        ),
        Line(
            "process",
            "this program",
            found.process,
            "sum",
            "Main memory this process holds now: weights read so far, what the pass left, Python, "
            "PyTorch and the window.",
        ),
        Line(
            "free",
            "still free",
            found.free,
            "free",
            f"What can still be had of {amount(found.total)}; the bound is set by {found.bound}. A "
            "pass or a model that would take more is refused beforehand.",
        ),
    )
    return (
        Section("left by the last pass", left, max(1, *(line.bytes for line in left))),
        Section(found.bound, machine, max(1, found.total)),
    )


def _parts(found: MemoryResult) -> Iterator[Line]:
    for key, label, count, about in (
        (
            "cache",
            "key-value cache",
            found.cache,
            "Keys and values of every token, which the next tokens attend to: "
            "2·L·H_kv·T·d_h numbers.",
        ),
        (
            "states",
            "residual stream",
            found.states,
            "The states of every token at every depth: (L + 1)·T·d numbers, and the last normed.",
        ),
        (
            "queries",
            "queries",
            found.queries,
            "Queries of every token and head, from which any attention map is worked out again: "
            "L·H·T·d_h numbers. Keys too, where there is no cache.",
        ),
        (
            "masks",
            "masks and biases",
            found.masks,
            "What each token may look at, and what its distance adds, where that is not just "
            "everything before it.",
        ),
        (
            "maps",
            "attention maps",
            found.maps,
            "This model computes attention by itself, so its maps have to be kept: L·H·T² numbers.",
        ),
        (
            "shown",
            "map that is shown",
            found.shown,
            "The one attention map in view, kept so that a token adds a row: T² numbers.",
        ),
        (
            "thumbnails",
            "thumbnails",
            found.thumbnails,
            "All heads at a glance, each map shrunk to a few cells.",
        ),
        (
            "memos",
            "surprise and others",
            found.memos,
            "Surprise of each token, scores of the last, places in the latent space.",
        ),
    ):
        if count:
            yield Line(key, label, count, "held", about)


def _contrast(found: MemoryResult) -> Iterator[Line]:
    if found.all_maps and not found.maps:
        yield Line(
            "all_maps",
            "all maps, not kept",
            found.all_maps,
            "never",
            f"What the attention maps of all layers and heads would take: L·H·T²·4 bytes, "
            f"{found.all_maps / max(found.trace, 1):.2g} times as much as all that is kept.",
        )
