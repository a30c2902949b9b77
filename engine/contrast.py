"""How far two readings of a text lie apart, token by token: what is kept between keys.

States, predictions and heads of the tokens that both sides share. A keystroke at the end compares
its own token only. The sides may be read by two models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.comparison import signature
from engine.estimate import JUDGED
from engine.models.families.decoder import common_prefix
from engine.probes.mosaic import FEW
from engine.probes.prediction import Surprises
from engine.probes.spec import Pass, states_at
from engine.trace import AttentionMaps, LayerAttention
from engine.types import Stack

MEMO = "compare"
"""Under which name a trace keeps what was compared."""

_TOKENS = 64
"""Tokens compared in one go: their states of all layers are held together for a moment."""


@dataclass(slots=True)
class Compared:
    """What was worked out of the tokens `pairs` (n, 2), places in the tokens of either side.

    `shift` (n, L + 1), `kl` and `logs` (n,) and (n, 2), and `heads` (n, L, H), as in the result but
    for the mean. `last` are the log-probabilities (V,) behind each side's last token, at `at`: what
    is typed next is judged by them. `models` are the signatures of those that read the sides.
    `ran` counts tokens ever compared.
    """

    ids: tuple[list[int], list[int]]
    pairs: NDArray[np.int64]
    shift: Tensor
    kl: Tensor
    logs: Tensor
    heads: Tensor
    last: tuple[Tensor | None, Tensor | None] = (None, None)
    at: tuple[int, int] = (-1, -1)
    models: tuple[str, str] = ("", "")
    ran: int = 0

    def keep(self, count: int) -> None:
        """Forget nothing: the sides' own tokens say what is still true."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = [self.shift, self.kl, self.logs, self.heads]
        return sum(one.nbytes for one in (*held, *self.last) if one is not None)

    def cut(self, count: int) -> None:
        """Forget all pairs from `count` on."""
        self.pairs, self.shift, self.kl = self.pairs[:count], self.shift[:count], self.kl[:count]
        self.logs, self.heads = self.logs[:count], self.heads[:count]


def compare(
    kept: object, sides: tuple[Pass, Pass], pairs: NDArray[np.int64], stack: Stack
) -> Compared:
    """Compare the tokens whose numbers are not `kept`."""
    one, other = sides
    depths = len(one.trace.states.get(stack, ()))
    ids = (list(one.trace.ids), list(other.trace.ids))
    models = (signature(one.loaded.info), signature(other.loaded.info))
    blocks = [[layer.heads for layer in side.trace.attention.get(stack, [])] for side in sides]
    # Heads that are not as many have no counterparts.
    heads = max(blocks[0], default=0) if blocks[0] == blocks[1] else 0
    shape = (depths, len(blocks[0]) if heads else 0, heads)
    if (
        isinstance(kept, Compared)
        and kept.models == models
        and (kept.shift.shape[1], *kept.heads.shape[1:]) == shape
    ):
        done = kept
        causal = all(side.loaded.reader.builds_on for side in sides)
        done.cut(_still_true(done, ids, pairs, causal))
    else:
        empty = torch.zeros(0, device=one.loaded.reader.device)
        states, maps = empty.view(0, depths), empty.new_zeros(0, shape[1], heads)
        done = Compared(([], []), pairs[:0], states, empty, empty.view(0, 2), maps, models=models)
    new = pairs[len(done.pairs) :]
    if len(new):
        shift = [_shift(sides, part, stack) for part in _parts(new)]
        done.shift = torch.cat([done.shift, *shift])
        if shape[1]:
            moved = _moved(sides, pairs, len(done.pairs), stack, (shape[1], heads))
            done.heads = torch.cat([done.heads, moved])
    _predict(done, sides, new)
    done.ids, done.pairs = ids, pairs
    done.ran += len(new)
    return done


def _still_true(
    done: Compared,
    ids: tuple[list[int], list[int]],
    pairs: NDArray[np.int64],
    causal: bool,
) -> int:
    """Of how many pairs, from the first on, what is known still holds."""
    alike = [common_prefix(old, new) for old, new in zip(done.ids, ids, strict=True)]
    if not causal and any(
        count < max(len(old), len(new))
        for count, old, new in zip(alike, done.ids, ids, strict=True)
    ):
        return 0
    most = min(len(pairs), len(done.pairs))
    same = (pairs[:most] == done.pairs[:most]).all(axis=1) & (pairs[:most] < alike).all(axis=1)
    wrong = np.flatnonzero(~same)
    return int(wrong[0]) if len(wrong) else most


def _parts(pairs: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [pairs[at : at + _TOKENS] for at in range(0, len(pairs), _TOKENS)]


def _rows(tensor: Tensor, places: NDArray[np.int64], dim: int = 0) -> Tensor:
    """The rows at `places`, as a view where they lie in line."""
    if not len(places):
        return tensor.narrow(dim, 0, 0)
    if places[-1] - places[0] == len(places) - 1:
        return tensor.narrow(dim, int(places[0]), len(places))
    return tensor.index_select(dim, torch.from_numpy(places).to(tensor.device))


def _shift(sides: tuple[Pass, Pass], pairs: NDArray[np.int64], stack: Stack) -> Tensor:
    """Cosine distance (t, L + 1) of the states of tokens (t, 2), in float32.

    L is that of the first side; what the other has no depth, or not the width for, is NaN.
    """
    depths = len(sides[0].trace.states[stack])
    count = min(depths, len(sides[1].trace.states.get(stack, ())))
    shift = torch.full((len(pairs), depths), torch.nan, device=sides[0].loaded.reader.device)
    stacked = []
    for index, side in enumerate(sides):
        states = [states_at(side, depth, stack)[1] for depth in range(count)]
        if not states:
            return shift
        # (d, t, D), d being the depths that both have
        stacked.append(torch.stack([_rows(one, pairs[:, index]) for one in states]).float())
    if stacked[0].shape == stacked[1].shape:
        # Lengths first: float32 dot products of two massive states would not be 1 to four digits.
        first, second = (torch.nn.functional.normalize(one, dim=-1) for one in stacked)
        # ½‖a − b‖² of unit vectors is 1 − cos, without the loss of digits where they are close.
        shift[:, :count] = ((first - second).square().sum(dim=-1) / 2).T
    return shift


def _predict(done: Compared, sides: tuple[Pass, Pass], new: NDArray[np.int64]) -> None:
    """Judge the tokens `new` (t, 2) and what comes after the text, by both sides' predictions."""
    kinds = {side.loaded.info.kind for side in sides}
    if not all(side.loaded.reader.has_next for side in sides) or "encoder-decoder" in kinds:
        nothing = done.kl.new_full((len(new),), torch.nan)
        done.kl = torch.cat([done.kl, nothing])
        done.logs = torch.cat([done.logs, nothing[:, None].expand(-1, 2)])
        return
    kl = done.kl.new_full((len(new),), torch.nan)
    logs = done.logs.new_full((len(new), 2), torch.nan)
    before = new - 1
    same = np.array(
        [sides[0].trace.ids[a] == sides[1].trace.ids[b] for a, b in new.tolist()], dtype=bool
    )
    judged = np.flatnonzero((before >= 0).all(axis=1) & same)
    for at in range(0, len(judged), JUDGED):
        part = judged[at : at + JUDGED]
        logged = [
            _log_probabilities(done, sides, index, before[part, index]) for index in (0, 1)
        ]  # two of (t, V)
        gold = [sides[0].trace.ids[place] for place in new[part, 0].tolist()]
        chosen = torch.tensor(gold, device=kl.device)[:, None]
        where = torch.from_numpy(part).to(kl.device)
        kl[where] = divergence(logged[0], logged[1])
        both = torch.cat([one.gather(1, chosen) for one in logged], dim=1)
        logs[where] = both
    done.kl, done.logs = torch.cat([done.kl, kl]), torch.cat([done.logs, logs])
    ends = tuple(len(side.trace.ids) - 1 for side in sides)
    last = [
        _log_probabilities(done, sides, index, np.array([ends[index]]))[0].clone()
        for index in (0, 1)
    ]
    done.last, done.at = (last[0], last[1]), (ends[0], ends[1])


def _log_probabilities(
    done: Compared, sides: tuple[Pass, Pass], index: int, places: NDArray[np.int64]
) -> Tensor:
    """Logarithms of p (t, V) of what comes after the tokens at `places` of one side.

    Of two models V are the entries that both have: one's may be padded with more that no text has.
    """
    side, known = sides[index], done.last[index]
    common = min(one.loaded.info.vocabulary for one in sides)
    alike = known is not None and common_prefix(done.ids[index], side.trace.ids) > done.at[index]
    if len(places) == 1 and known is not None and alike and int(places[0]) == done.at[index]:
        return known[None]
    judged = side.trace.memos.get("surprise")
    if len(places) == 1 and isinstance(judged, Surprises):
        scores = judged.of(int(places[0]))
        if scores is not None:
            return scores[None, :common].log_softmax(dim=-1)
    final = _rows(side.trace.final.rows(), places)  # (t, D)
    return side.loaded.reader.logits(final)[:, :common].float().log_softmax(dim=-1)


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """KL(other ‖ one) in nats, (t,), of log-probabilities (t, V) or (V,)."""
    one, other = (x if x.ndim == 2 else x[None] for x in (one, other))
    return (other.exp() * (other - one)).nansum(dim=-1).clamp(min=0)


def _weights(layer: AttentionMaps, places: NDArray[np.int64]) -> Tensor:
    """Rows (H, t, S) of the queries at `places`."""
    start, stop = int(places[0]), int(places[-1]) + 1
    few = stop == layer.rows and stop - start <= FEW
    if few and isinstance(layer, LayerAttention) and layer.plain:
        found = layer.seen_weights(None, start, stop)
    else:
        found = layer.weights(None, start, stop)
    return _rows(found, places - start, dim=1)


def _moved(
    sides: tuple[Pass, Pass],
    pairs: NDArray[np.int64],
    known: int,
    stack: Stack,
    shape: tuple[int, int],
) -> Tensor:
    """Total variation (t, L, H) between the rows of the pairs from `known` on.

    The first token of all is a key of its own on either side, whatever it is: many heads rest their
    weight there, and that it lies in the context now is no change of theirs.
    """
    device = sides[0].loaded.reader.device
    moved = torch.zeros(len(pairs) - known, *shape, device=device)
    both = [side.trace.attention.get(stack, []) for side in sides]
    keys = pairs[(pairs > 0).all(axis=1)]
    for index, (mine, theirs) in enumerate(zip(*both, strict=True)):
        if not mine.heads:
            continue
        for at, part in enumerate(_parts(pairs[known:])):
            rows = [_weights(layer, part[:, k]) for k, layer in enumerate((mine, theirs))]
            shared = [_rows(one, keys[:, k], dim=2) for k, one in enumerate(rows)]  # (H, t, n')
            first = rows[1][..., 0] - rows[0][..., 0]
            change = shared[1] - shared[0]
            rest = first + change.sum(dim=-1)  # what has gone there has come from elsewhere
            apart = change.abs().sum(dim=-1) + first.abs() + rest.abs()
            here = slice(at * _TOKENS, at * _TOKENS + len(part))
            moved[here, index, : mine.heads] = apart.T / 2
    return moved
