"""A comparison as the window tells it: which tokens face each other, in which colour, what changed.

Plain functions of a `CompareResult`; they know no Qt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.comparison import CompareResult, Side
from engine.types import Floats, ModelInfo
from gui.widgets.spans import visible

Measure = Literal["surprise", "pcxmi", "kl", "shift"]
"""What colours the tokens of both sides."""

NAMES: Mapping[Measure, str] = {
    "surprise": "surprise",
    "pcxmi": "P-CXMI",
    "kl": "KL divergence",
    "shift": "shift of state",
}
SHORT: Mapping[Measure, str] = {**NAMES, "kl": "KL", "shift": "shift"}
UNITS: Mapping[Measure, str] = {"surprise": "bits", "pcxmi": "nats", "kl": "nats", "shift": ""}

EXAMPLE = (
    "A bat flew out of the cave at dusk and caught an insect.\n",
    "The bat was cracked, so the player could not hit the ball.",
)
"""Context and text for those who want to see something at once."""


def joined(context: str, text: str) -> str:
    """What is put before `text`: the context, and a line break unless one of them brings a space.

    A break, because most tokenizers cut a text behind it as they cut it at the beginning: after a
    space they would merge the space into the first word.
    """
    if not context.strip():
        return ""
    return context if context[-1].isspace() or text[:1].isspace() else context + "\n"


class Slot(NamedTuple):
    """A place in both panes: a token of either side, −1 for none; `pair` where both share it.

    `own` is the token of the text as it is read alone, −1 where it has none with these characters.
    """

    one: int
    other: int
    pair: int
    own: int


def slots(found: CompareResult) -> tuple[Slot, ...]:
    """All tokens of both sides in reading order, shared ones facing each other."""
    made: list[Slot] = []
    at, beside = 0, 0
    mine, theirs = found.one.own.tolist(), found.other.own.tolist()
    ends = (len(found.one.tokens), len(found.other.tokens))
    for pair, (one, other) in enumerate([*found.pairs.tolist(), ends]):
        made += (Slot(index, -1, -1, mine[index]) for index in range(at, one))
        made += (Slot(-1, index, -1, theirs[index]) for index in range(beside, other))
        if (one, other) != ends:
            own = mine[one] if mine[one] >= 0 else theirs[other]
            made.append(Slot(one, other, pair, own))
        at, beside = one + 1, other + 1
    return tuple(made)


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """Values of the tokens of either side, NaN where there is none, and where their colours end."""

    one: Floats
    other: Floats
    high: float
    signed: bool


def colours(found: CompareResult, measure: Measure, depth: int, bits: float) -> Colours:
    """What colours the tokens; surprise ends at `bits`, the others at their largest."""
    if measure == "surprise":
        return Colours(found.one.surprise, found.other.surprise, bits, False)
    values = values_of(found, measure, depth)
    high = float(np.nanmax(np.abs(values), initial=0.0)) if len(values) else 0.0
    made = []
    for index, side in enumerate((found.one, found.other)):
        of_side = np.full(len(side.tokens), np.nan, np.float32)
        of_side[found.pairs[:, index]] = values
        made.append(of_side)
    return Colours(made[0], made[1], high or 1.0, measure == "pcxmi")


def values_of(found: CompareResult, measure: Measure, depth: int) -> Floats:
    """The measure of each shared token (n,), NaN where there is none; of surprise, its fall."""
    nothing = np.full(len(found.pairs), np.nan, np.float32)
    if measure == "shift":
        return found.shift[:, max(0, min(depth, found.shift.shape[1] - 1))]
    values = found.kl if measure == "kl" else found.pcxmi
    return nothing if values is None else values


def measures(model: ModelInfo, second: ModelInfo | None = None) -> tuple[Measure, ...]:
    """What can be measured of a model, or of two: states of different widths do not compare."""
    both = (model, second or model)
    found: tuple[Measure, ...] = ()
    if all("next" in one.provides and one.kind != "encoder-decoder" for one in both):
        found = ("surprise", "pcxmi", "kl")
    return (*found, "shift") if both[0].width == both[1].width else found


class Ranked(NamedTuple):
    """A line of what changed most: what it is, its number, and where a click on it leads."""

    text: str
    value: float
    at: tuple[int, ...]


def top_tokens(
    found: CompareResult, measure: Measure, depth: int, labels: Sequence[str], most: int
) -> list[Ranked]:
    """The shared tokens that changed most, by magnitude; a click leads to the pair."""
    by: Measure = "kl" if measure == "surprise" and found.kl is not None else measure
    values = values_of(found, by, depth)
    return [
        Ranked(labels[index], float(values[index]), (index,))
        for index in _largest(np.abs(values), most)
    ]


def top_layers(found: CompareResult, most: int) -> list[Ranked]:
    """The depths at which states moved most, by the mean cosine distance of the shared tokens."""
    if not len(found.shift):
        return []
    mean = found.shift.mean(axis=0)
    return [Ranked(f"L{index}", float(mean[index]), (index,)) for index in _largest(mean, most)]


def top_heads(found: CompareResult, most: int) -> list[Ranked]:
    """The heads whose rows moved most."""
    if found.heads is None or not len(found.pairs):
        return []
    width = found.heads.shape[1]
    made = []
    for index in _largest(found.heads.ravel(), most):
        layer, head = divmod(index, width)
        made.append(Ranked(f"L{layer}H{head}", float(found.heads[layer, head]), (layer, head)))
    return made


def _largest(values: NDArray[np.floating], most: int) -> list[int]:
    kept = np.flatnonzero(np.isfinite(values))
    order = np.argsort(-values[kept], kind="stable")[:most]
    return [int(index) for index in kept[order]]


def level(difference: Floats) -> float:
    """Where the colours of a difference of attention (n, n) end: at its largest magnitude.

    The first token has nobody but itself to look at when it is alone, and the others look at it for
    want of anything better: its row and column would drown the rest, and are cut where they must.
    """
    inner = np.abs(difference[1:, 1:]).max(initial=0.0)
    return float(inner or np.abs(difference).max(initial=0.0)) or 1.0


def title(name: str, side: Side, model: bool = False) -> str:
    """What stands over a pane: which context, and with `model` who reads it."""
    name = f"{name}, {side.model}" if model else name
    context = " ".join(side.context.split())
    if not context:
        return f"{name}: the text alone"
    count = side.count - len(side.tokens)
    return f"{name}: after {count} token{'s' if count != 1 else ''}, “{context}”"


def expected(side: Side, most: int = 3) -> str:
    """The likeliest tokens after the text, with their probabilities."""
    pairs = list(zip(side.next_texts, side.next_probabilities.tolist(), strict=True))[:most]
    return ", ".join(f"{visible(text).strip('·')} {100 * share:.0f} %" for text, share in pairs)


def told(found: CompareResult, slot: Slot, depth: int, label: str) -> str:
    """One line on a token: its surprise on either side, and how far it moved."""
    if slot.pair < 0:
        where = "A" if slot.other < 0 else "B"
        return f"{label}   stands so only in {where}: the other side is cut elsewhere"
    parts = [label]
    bits = [float(found.one.surprise[slot.one]), float(found.other.surprise[slot.other])]
    if not any(map(math.isnan, bits)):
        parts.append(f"surprise {bits[0]:.1f} → {bits[1]:.1f} bits")
    if found.pcxmi is not None and not math.isnan(found.pcxmi[slot.pair]):
        parts.append(f"P-CXMI {signed(float(found.pcxmi[slot.pair]))} nats")
    if found.kl is not None and not math.isnan(found.kl[slot.pair]):
        parts.append(f"KL {found.kl[slot.pair]:.2f} nats")
    depth = max(0, min(depth, found.shift.shape[1] - 1))
    if not math.isnan(shift := float(found.shift[slot.pair, depth])):
        parts.append(f"shift at layer {depth}: {shift:.3f}")
    return "   ".join(parts)


def signed(value: float) -> str:
    """A number with its sign, two digits."""
    return f"{value:+.2f}".replace("-", "−")


def summary(found: CompareResult) -> str:
    """The caption: how many tokens are shared, what the context brings in all."""
    count = len(found.pairs)
    parts = [f"{found.one.model} and {found.other.model}"] if found.second else []
    parts.append(f"{count} shared token" + ("s" if count != 1 else ""))
    if found.pcxmi is not None and np.isfinite(found.pcxmi).any():
        parts.append(f"P-CXMI {signed(float(np.nanmean(found.pcxmi)))} nats a token")
    if not math.isnan(found.next_kl):
        parts.append(f"next token: KL {found.next_kl:.2f} nats")
    lost = sum(found.unshared)
    if lost:
        parts.append(f"{lost} cut differently")
    return " · ".join(parts)
