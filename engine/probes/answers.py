"""How likely each answer to a prompt is, and which parts of the prompt were attended to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.continuations import Ids, said_after, told_apart
from engine.models.families.decoder import common_prefix
from engine.probes.prediction import last_scores
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_ints, to_numpy
from engine.tasks.answers import AnswersQuery, AnswersResult
from engine.trace import LayerAttention
from engine.types import Ints, Token, frozen


def answer(passed: Pass, query: AnswersQuery) -> Callable[[], AnswersResult]:
    """Look the answers' first tokens up in what is predicted after the text's last token.

    Answers that begin alike are told apart by p of so many tokens as differ, by the chain rule;
    for that the tokens they share are run behind the text.

    The attention is that of the last token's row, from which the answer is predicted.
    """
    if passed.loaded.info.kind == "encoder-decoder":
        raise NotAnswerable(
            f"{passed.loaded.info.title} answers with a decoder of its own; a task is for models "
            "that go on from their context"
        )
    tokens = _tokens_of(passed, query.answers)
    ids = [one[0] if one else -1 for one in tokens]
    scores = last_scores(passed).log_softmax(dim=-1)  # (V,)
    chosen = torch.tensor([max(0, id_) for id_ in ids], dtype=torch.long, device=scores.device)
    counted = told_apart(tokens)
    logged = scores[chosen] + _later(passed, tokens, counted, scores)  # (A,)
    above = (scores[None] > scores[chosen][:, None]).sum(dim=-1)
    logs, ranks = to_numpy(logged), to_ints(above)
    parts = _parts(passed.tokens, query.ranges)
    mass = _mass(passed, parts)
    held = None if mass is None else to_numpy(mass)

    def finish() -> AnswersResult:
        known = np.array(ids, np.int64) >= 0
        probabilities = np.where(known, np.exp(logs), np.nan).astype(np.float32)
        whole = float(np.nansum(probabilities)) if known.any() else 0.0
        shares = probabilities / np.float32(whole) if whole else probabilities.copy()
        return AnswersResult(
            ids=_ints(np.array(ids, np.int64)),
            counted=_ints(np.array(counted, np.int64)),
            probabilities=_floats(probabilities),
            shares=_floats(shares),
            ranks=_ints(np.where(known, ranks, -1)),
            mass=held,
            tokens=_ints(parts),
        )

    return finish


def _later(passed: Pass, tokens: list[Ids], counted: list[int], like: Tensor) -> Tensor:
    """Ln p (A,) of what is counted of each answer behind its first token; 0 where that is all.

    Where there are too many to be run, those that are left out are not told apart, and `counted`
    is brought down to what is.
    """
    shared = [ids[:n] for ids, many in zip(tokens, counted, strict=True) for n in range(1, many)]
    known = said_after(passed, sorted(shared, key=lambda one: (len(one), one))) if shared else {}
    found = like.new_zeros(len(tokens))
    for at, ids in enumerate(tokens):
        for n in range(1, counted[at]):
            if ids[:n] not in known:
                counted[at] = n
                break
            found[at] += known[ids[:n]][ids[n]]
    return found


def _tokens_of(passed: Pass, answers: Sequence[str]) -> list[Ids]:
    """The tokens of each answer as it stands behind the text, none where it has none of its own.

    In a template for conversations the model's turn begins anew, without the space before it.
    """
    reader, kind = passed.loaded.reader_of_text, passed.loaded.info.kind
    if passed.request is not None and passed.request.chat:
        special = set(reader.ids(""))
        return [
            tuple(id_ for id_ in reader.ids(one.strip()) if id_ not in special) for one in answers
        ]
    alone = list(passed.trace.ids)
    found: list[Ids] = []
    for one in answers:
        whole = reader.ids(passed.text + one)
        start = common_prefix(alone, whole)
        merged = start < len(alone) or len(whole) <= start or kind != "decoder"
        found.append(() if merged else tuple(whole[start:]))
    return found


def _parts(tokens: Sequence[Token], ranges: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Which tokens (R, 2) begin in each part; an empty range where none does."""
    starts = np.array([token.start for token in tokens], np.int64)
    real = np.array([token.start < token.end for token in tokens], bool)
    made = []
    for first, after in ranges:
        inside = np.flatnonzero(real & (starts >= first) & (starts < after))
        made.append((inside[0], inside[-1] + 1) if len(inside) else (0, 0))
    return np.array(made, np.int64).reshape(-1, 2)


def _mass(passed: Pass, parts: NDArray[np.int64]) -> Tensor | None:
    """What the last row of each head gives to each part (L, H, R)."""
    layers = passed.trace.attention.get(passed.loaded.info.stacks[0], [])
    heads = max((layer.heads for layer in layers), default=0)
    if not heads:
        return None
    mass = torch.zeros(len(layers), heads, len(parts), device=passed.loaded.reader.device)
    for index, layer in enumerate(layers):
        if not layer.heads:
            continue
        last = layer.rows - 1
        if isinstance(layer, LayerAttention) and layer.plain:
            row = layer.seen_weights(None, last, layer.rows)[:, 0]  # (H, S)
        else:
            row = layer.weights(None, last, last + 1)[:, 0]
        # What lies before each place: a part's sum is a difference of two.
        summed = torch.nn.functional.pad(row.double().cumsum(dim=-1), (1, 0))
        begin, after = torch.from_numpy(parts.copy()).to(summed.device).T
        mass[index, : layer.heads] = (summed[:, after] - summed[:, begin]).float()
    return mass


def _ints(array: NDArray[np.int64]) -> Ints:
    frozen(array)
    return array


def _floats(array: NDArray[np.float32]) -> NDArray[np.float32]:
    frozen(array)
    return array


PROBE = ProbeSpec(AnswersQuery, "next", answer, slow=True, scores=True)
