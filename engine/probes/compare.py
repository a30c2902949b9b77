"""The same text under two contexts: what each token's state, attention and prediction owe to them.

The second text is run beside the first (`engine.beside`), and what was compared is kept with the
trace: a keystroke at the end compares its own token only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.beside import MEMO, behind
from engine.comparison import CompareQuery, CompareResult, Side
from engine.estimate import JUDGED
from engine.models.families.decoder import common_prefix
from engine.probes import latent
from engine.probes.attention import layer_of, one_map
from engine.probes.mosaic import FEW
from engine.probes.prediction import Surprises
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_ints, to_numpy
from engine.trace import AttentionMaps, LayerAttention
from engine.types import Floats, Ints, LatentQuery, Stack, Token, frozen

_TOKENS = 64
"""Tokens compared in one go: their states of all layers are held together for a moment."""

_KEPT = "compare"


@dataclass(frozen=True, slots=True)
class Half:
    """One side while it is worked on: its pass, and the text's tokens within it."""

    passed: Pass
    context: str
    tokens: tuple[Token, ...]
    places: NDArray[np.int64]


@dataclass(slots=True)
class Compared:
    """What was worked out of the tokens `pairs` (n, 2), places in the tokens of either side.

    `shift` (n, L + 1), `kl` and `logs` (n,) and (n, 2), and `heads` (n, L, H), as in the result but
    for the mean. `last` are the log-probabilities (V,) behind each side's last token, at `at`: what
    is typed next is judged by them. `ran` counts tokens ever compared.
    """

    ids: tuple[list[int], list[int]]
    pairs: NDArray[np.int64]
    shift: Tensor
    kl: Tensor
    logs: Tensor
    heads: Tensor
    last: tuple[Tensor | None, Tensor | None] = (None, None)
    at: tuple[int, int] = (-1, -1)
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


def answer(passed: Pass, query: CompareQuery) -> Callable[[], CompareResult]:
    """Bring both sides up to date, compare what is new, and tell of all."""
    halves = tuple(
        _half(*behind(passed, context, place))
        for place, context in enumerate((query.one, query.other))
    )
    one, other = halves
    rows = aligned(one.tokens, other.tokens)  # (n, 2)
    pairs = np.stack([one.places[rows[:, 0]], other.places[rows[:, 1]]], axis=1)
    info = passed.loaded.info
    stack: Stack = query.stack or info.stacks[0]
    chosen: Stack = "encoder" if info.kind == "encoder-decoder" else stack
    both = (one.passed, other.passed)
    # Until it is through, what is kept is neither the old text's nor the new one's.
    done = _compare(passed.trace.memos.pop(_KEPT, None), both, pairs, chosen)
    passed.trace.memos[_KEPT] = done
    mapped, pathed = _attention(both, pairs, query, chosen), _paths(both, pairs, query)
    predicts = done.last[0] is not None and done.last[1] is not None
    shift = to_numpy(done.shift)
    kl = to_numpy(done.kl) if predicts else None
    logs = to_numpy(done.logs)
    heads = to_numpy(done.heads.mean(dim=0)) if done.heads.numel() else None
    next_kl = to_numpy(_divergence(*done.last)) if predicts else None  # type: ignore[arg-type]
    tops = [_likeliest(last, query.count) for last in done.last]

    def finish() -> CompareResult:
        attention, elsewhere = mapped()
        paths, reference = pathed()
        sides = []
        for index, half in enumerate(halves):
            surprise = np.full(len(half.tokens), np.nan, np.float32)
            surprise[rows[:, index]] = -logs[:, index] / math.log(2)
            ids, shares = tops[index]
            sides.append(
                Side(
                    context=half.context,
                    tokens=half.tokens,
                    places=_ints(half.places),
                    own=_own(passed.tokens, half.tokens),
                    count=len(half.passed.tokens),
                    surprise=_floats(surprise),
                    next_ids=tuple(ids.tolist()),
                    next_texts=tuple(passed.loaded.reader_of_text.show(i) for i in ids.tolist()),
                    next_probabilities=shares,
                )
            )
        return CompareResult(
            layer=query.layer,
            head=query.head,
            stack=chosen,
            one=sides[0],
            other=sides[1],
            pairs=_ints(rows),
            shift=shift,
            kl=kl,
            pcxmi=_floats(logs[:, 1] - logs[:, 0]) if predicts else None,
            next_kl=math.nan if next_kl is None else float(next_kl[0]),
            attention=attention,
            elsewhere=elsewhere,
            heads=heads,
            space=query.space if paths is not None else None,
            paths=paths,
            reference=reference,
        )

    return finish


# --- which tokens stand for the same characters ---------------------------------------------------


def _half(passed: Pass, context: str) -> Half:
    """The tokens of the text, their offsets counted from its beginning."""
    begin = len(context)
    places, tokens = [], []
    for place, token in enumerate(passed.tokens):
        if token.start < token.end and token.end > begin:
            places.append(place)
            moved = replace(token, start=token.start - begin, end=token.end - begin)
            tokens.append(moved if begin else token)
    return Half(passed, context, tuple(tokens), np.array(places, dtype=np.int64))


def aligned(one: Sequence[Token], other: Sequence[Token]) -> NDArray[np.int64]:
    """Indices (n, 2) of tokens that stand for the same characters of the same text.

    By their offsets in the text, which must agree at both ends: a token that a tokenizer merged
    across the boundary of context and text has no counterpart. Where several tokens share a
    character, they are paired in order if there are as many. Ids may differ: some tokenizers write
    the beginning of a text as no other place.
    """
    spans: dict[tuple[int, int], list[int]] = {}
    for index, token in enumerate(other):
        spans.setdefault((token.start, token.end), []).append(index)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, token in enumerate(one):
        if token.start >= 0:
            groups.setdefault((token.start, token.end), []).append(index)
    pairs = [
        pair
        for span, mine in groups.items()
        if len(theirs := spans.get(span, [])) == len(mine)
        for pair in zip(mine, theirs, strict=True)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _own(tokens: Sequence[Token], others: Sequence[Token]) -> Ints:
    found = np.full(len(others), -1, np.int64)
    pairs = aligned(tokens, others)
    found[pairs[:, 1]] = pairs[:, 0]
    return _ints(found)


# --- states, predictions, heads: what is kept -----------------------------------------------------


def _compare(
    kept: object, sides: tuple[Pass, Pass], pairs: NDArray[np.int64], stack: Stack
) -> Compared:
    """Compare the tokens whose numbers are not `kept`."""
    one, other = sides
    depths = len(one.trace.states.get(stack, ()))
    ids = (list(one.trace.ids), list(other.trace.ids))
    layers = one.trace.attention.get(stack, [])
    heads = max((layer.heads for layer in layers), default=0)
    shape = (depths, len(layers) if heads else 0, heads)
    if isinstance(kept, Compared) and (kept.shift.shape[1], *kept.heads.shape[1:]) == shape:
        done = kept
        done.cut(_still_true(done, ids, pairs, causal=one.loaded.reader.builds_on))
    else:
        empty = torch.zeros(0, device=one.loaded.reader.device)
        states, maps = empty.view(0, depths), empty.new_zeros(0, shape[1], heads)
        done = Compared(([], []), pairs[:0], states, empty, empty.view(0, 2), maps)
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
    """Cosine distance (t, L + 1) of the states of tokens (t, 2), in float32."""
    stacked = []
    for index, side in enumerate(sides):
        count = len(side.trace.states[stack])
        states = [states_at(side, depth, stack)[1] for depth in range(count)]
        # (L + 1, t, D)
        stacked.append(torch.stack([_rows(one, pairs[:, index]) for one in states]).float())
    # Lengths first: float32 dot products of two massive states would not be 1 to four digits.
    first, second = (torch.nn.functional.normalize(one, dim=-1) for one in stacked)
    # ½‖a − b‖² of unit vectors is 1 − cos, without the loss of digits where they are close.
    return ((first - second).square().sum(dim=-1) / 2).T.contiguous()


def _predict(done: Compared, sides: tuple[Pass, Pass], new: NDArray[np.int64]) -> None:
    """Judge the tokens `new` (t, 2) and what comes after the text, by both sides' predictions."""
    if not sides[0].loaded.reader.has_next or sides[0].loaded.info.kind == "encoder-decoder":
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
        kl[where] = _divergence(logged[0], logged[1])
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
    """Logarithms of p (t, V) of what comes after the tokens at `places` of one side."""
    side, known = sides[index], done.last[index]
    alike = known is not None and common_prefix(done.ids[index], side.trace.ids) > done.at[index]
    if len(places) == 1 and known is not None and alike and int(places[0]) == done.at[index]:
        return known[None]
    judged = side.trace.memos.get("surprise")
    if (
        len(places) == 1
        and isinstance(judged, Surprises)
        and judged.at == int(places[0])
        and judged.scores is not None
    ):
        return judged.scores[None].log_softmax(dim=-1)
    final = _rows(side.trace.final.rows(), places)  # (t, D)
    return side.loaded.reader.logits(final).float().log_softmax(dim=-1)


def _divergence(one: Tensor, other: Tensor) -> Tensor:
    """KL(other ‖ one) in nats, (t,), of log-probabilities (t, V) or (V,)."""
    one, other = (x if x.ndim == 2 else x[None] for x in (one, other))
    return (other.exp() * (other - one)).nansum(dim=-1).clamp(min=0)


def _likeliest(last: Tensor | None, count: int) -> tuple[Ints, Floats]:
    if last is None:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    best = torch.topk(last, min(count, len(last)))
    return to_ints(best.indices), to_numpy(best.values.exp())


# --- attention ------------------------------------------------------------------------------------


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


def _attention(
    sides: tuple[Pass, Pass], pairs: NDArray[np.int64], query: CompareQuery, stack: Stack
) -> Callable[[], tuple[Floats | None, Floats | None]]:
    """The difference (n, n) of the shown map, and what rows give elsewhere (2, n), once there."""
    heads = sides[0].loaded.info.heads
    wrong = isinstance(query.head, int) and not 0 <= query.head < heads
    if wrong or not query.attention:
        return lambda: (None, None)
    try:
        maps = []
        for side in sides:
            _, layer = layer_of(side, query.layer, stack)
            maps.append(one_map(side, layer, (stack, query.layer, query.head)))
    except NotAnswerable:
        return lambda: (None, None)

    def finish() -> tuple[Floats | None, Floats | None]:
        shared = [_square(whole, pairs[:, index]) for index, whole in enumerate(maps)]
        rest = [1 - one.sum(axis=1) for one in shared]
        return _floats(shared[1] - shared[0]), _floats(np.clip(np.stack(rest), 0, 1))

    return finish


def _square(whole: Floats, places: NDArray[np.int64]) -> Floats:
    """Rows and columns of a map at `places`."""
    if len(places) and places[-1] - places[0] == len(places) - 1:
        part = slice(int(places[0]), int(places[-1]) + 1)
        view: Floats = whole[part, part]
        return view
    picked: Floats = whole[np.ix_(places, places)]
    return picked


# --- paths ----------------------------------------------------------------------------------------


def _paths(
    sides: tuple[Pass, Pass], pairs: NDArray[np.int64], query: CompareQuery
) -> Callable[[], tuple[Floats | None, Floats | None]]:
    """Where the tokens lie in the latent space on either side (2, n, 2), and its cloud (N, 2)."""
    if query.space is None:
        return lambda: (None, None)
    try:
        found = [latent.answer(side, LatentQuery(query.space)) for side in sides]
    except NotAnswerable:
        return lambda: (None, None)

    def finish() -> tuple[Floats | None, Floats | None]:
        xy = np.stack([one.xy[pairs[:, index]] for index, one in enumerate(found)])
        return _floats(xy), found[0].reference

    return finish


def _floats(array: NDArray[np.floating]) -> Floats:
    made: Floats = np.ascontiguousarray(array, np.float32)
    frozen(made)
    return made


def _ints(array: NDArray[np.int64]) -> Ints:
    made = np.ascontiguousarray(array, np.int64)
    frozen(made)
    return made


PROBE = ProbeSpec(CompareQuery, "embedding", answer, lends=MEMO, slow=True)
