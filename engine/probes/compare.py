"""The same text under two contexts: what each token's state, attention and prediction owe to them.

Or in two models. The other side is run beside the first (`engine.beside`), and what was compared is
kept with the trace (`engine.contrast`): a keystroke at the end compares its own token only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import contrast
from engine.alignment import aligned, half_of
from engine.beside import MEMO, behind
from engine.comparison import CompareQuery, CompareResult, Side
from engine.probes import latent
from engine.probes.attention import layer_of, one_map
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_ints, to_numpy
from engine.second import named, second_of
from engine.types import Floats, Ints, LatentQuery, Stack, Token, frozen


def answer(passed: Pass, query: CompareQuery) -> Callable[[], CompareResult]:
    """Bring both sides up to date, compare what is new, and tell of all."""
    second = second_of(passed, query.model)
    one = half_of(*behind(passed, query.one, 0))
    other = half_of(*behind(passed, query.other, 1, second))
    halves = (one, other)
    titles = named(passed.loaded, second) if second is not None else (passed.loaded.info.title,) * 2
    rows = aligned(one.tokens, other.tokens)  # (n, 2)
    pairs = np.stack([one.places[rows[:, 0]], other.places[rows[:, 1]]], axis=1)
    info = passed.loaded.info
    stack: Stack = query.stack or info.stacks[0]
    chosen: Stack = "encoder" if info.kind == "encoder-decoder" else stack
    both = (one.passed, other.passed)
    # Until it is through, what is kept is neither the old text's nor the new one's.
    done = contrast.compare(passed.trace.memos.pop(contrast.MEMO, None), both, pairs, chosen)
    passed.trace.memos[contrast.MEMO] = done
    mapped, pathed = _attention(both, pairs, query, chosen), _paths(both, pairs, query)
    predicts = done.last[0] is not None and done.last[1] is not None
    shift = to_numpy(done.shift)
    kl = to_numpy(done.kl) if predicts else None
    logs = to_numpy(done.logs)
    heads = to_numpy(done.heads.mean(dim=0)) if done.heads.numel() else None
    next_kl = to_numpy(contrast.divergence(*done.last)) if predicts else None  # type: ignore[arg-type]
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
                    model=titles[index],
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
            second=query.model,
        )

    return finish


def _own(tokens: Sequence[Token], others: Sequence[Token]) -> Ints:
    found = np.full(len(others), -1, np.int64)
    pairs = aligned(tokens, others)
    found[pairs[:, 1]] = pairs[:, 0]
    return _ints(found)


def _likeliest(last: Tensor | None, count: int) -> tuple[Ints, Floats]:
    if last is None:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    best = torch.topk(last, min(count, len(last)))
    return to_ints(best.indices), to_numpy(best.values.exp())


# --- attention ------------------------------------------------------------------------------------


def _attention(
    sides: tuple[Pass, Pass], pairs: NDArray[np.int64], query: CompareQuery, stack: Stack
) -> Callable[[], tuple[Floats | None, Floats | None]]:
    """The difference (n, n) of the shown map, and what rows give elsewhere (2, n), once there."""
    heads = min(side.loaded.info.heads for side in sides)
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
    """Where the tokens lie in the latent space on either side (2, n, 2), and its cloud (N, 2).

    The space is that of the model that reads the first side; another model's states are seen in it
    where they have its width.
    """
    one, other = (side.loaded for side in sides)
    if query.space is None or one.info.width != other.info.width:
        return lambda: (None, None)
    try:
        seen = [replace(side, loaded=replace(side.loaded, spaces=one.spaces)) for side in sides]
        found = [latent.answer(side, LatentQuery(query.space)) for side in seen]
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
