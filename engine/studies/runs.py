"""Runs of a model over what many texts have in common, which is computed once.

`Runs.begin` brings a key-value cache to a beginning, running only what no earlier beginning had;
`Runs.follow` runs rows of equal length on from it, all at once and without padding, and gives a
`Branch` that can be followed further: from a prompt to its answers. What each row says is what the
model says of the whole text by itself.

A model that keeps nothing between two passes, or answers otherwise when rows run together (tried
once, with the first beginning), is run text by text, whole.

Shape letters: B rows, t tokens of a row, P tokens of the beginning, D model width, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from engine import memory
from engine.errors import UserError
from engine.estimate import JUDGED
from engine.latent.running import (
    BorrowedLayer,
    Unrunnable,
    attending_by_itself,
    attends_by_itself,
    borrow,
    check,
)
from engine.models.cache import ArenaCache, over
from engine.models.families.decoder import common_prefix
from engine.models.loader import Loaded

HELD = 256 << 20
"""Bytes of keys and values that the rows of one step may hold, each having the beginning's too."""

_FEWEST, _MOST = 16, 512  # tokens a step runs
_LEAST = 256  # tokens that a second is thought to be enough for: where it is not, steps last longer
_DIGITS = 1000  # units in the last place by which two ways of running may differ
_WORST = 0.1  # and the largest difference, as a share, whatever the type


class Pace:
    """How many tokens to run at a time, so that a step lasts about `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.fewest = int(max(_FEWEST, min(_LEAST * patience, _MOST)))
        self.tokens = self.fewest

    def note(self, tokens: int, seconds: float) -> None:
        """Learn from a step of so many tokens."""
        wanted = tokens * self.patience / max(seconds, 1e-6)
        self.tokens = int(max(self.fewest, min(wanted, 2 * self.tokens, _MOST)))


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """Rows that were run on.

    `ids` are all tokens of each row, the beginning among them; `final` (B, t, D) what the output
    embedding reads of the last t; `cache` what further rows build on, None where each is run whole.
    """

    ids: tuple[tuple[int, ...], ...]
    final: Tensor
    cache: Cache | None


class Runs:
    """Runs texts of one model, and counts the tokens that go through it.

    Parameters
    ----------
    loaded : Loaded
        The model.
    what : str
        What cannot be done where it is of a kind that cannot be run so: ``"Cannot study …"``.
    patience : float
        Seconds a step takes, about.

    Raises
    ------
    UserError
        If the model does not predict the next token of a text from those before it.
    """

    def __init__(self, loaded: Loaded, what: str, patience: float = 0.25) -> None:
        try:
            self.reader = check(loaded.reader, loaded.info.title)
        except Unrunnable as reason:
            why = f"{loaded.info.title} is none of the models that write a text token by token"
            if loaded.info.kind == "decoder":
                why = str(reason)
            raise UserError(
                what, why, "Open a causal model, such as GPT-2, Llama, Qwen or Pythia"
            ) from reason
        self.loaded, self.what = loaded, what
        self.pace = Pace(patience)
        self.tokens = 0
        """Tokens run so far."""
        self._ids: list[int] = []
        self._cache: ArenaCache | None = None
        self._shares: bool | None = None

    @property
    def shares(self) -> bool:
        """Whether what texts have in common is run once; known after the first `begin`."""
        return bool(self._shares)

    def require_room(self, count: int, do: str) -> None:
        """Raise `UserError` where a text of `count` tokens would not fit into memory."""
        need = self.reader.pass_bytes(None, count, count, ())
        there = memory.room(self.reader.device)
        if need > there.free:
            raise UserError(self.what, memory.shortage(need, there), do)

    def begin(self, ids: Sequence[int]) -> Generator[int, None, Tensor | None]:
        """Bring the cache to `ids`, running what the last beginning did not have.

        Yields the number of tokens run so far. The value is what the output embedding reads of
        those that were run, (t, D), the last of `ids`; None where nothing is shared.
        """
        ids = list(ids)
        if self._shares is None:
            self._shares = self._agrees(ids)
        if not self._shares:
            self._ids = ids
            return None
        if self._cache is None:
            self._cache = ArenaCache()
        kept = common_prefix(self._ids, ids)
        if kept < len(self._ids):
            self._cache.keep(kept)
        self._ids = ids[:kept]
        parts = []
        while len(self._ids) < len(ids):
            begun = time.perf_counter()
            part = ids[len(self._ids) :][: self.pace.tokens]
            with torch.inference_mode():
                parts.append(self._base(torch.tensor([part]), self._cache)[0])
            self._ids += part
            self.pace.note(len(part), time.perf_counter() - begun)
            yield self.tokens
        return torch.cat(parts) if parts else None

    def losses(self, ids: Sequence[int]) -> Generator[int, None, list[float]]:
        """−log p of each token of a text (T − 1,) but the first, in nats."""
        self.forget()
        final = yield from self.begin(ids)
        if final is None:
            with torch.inference_mode():
                final = self._alone(list(ids))
            yield self.tokens
        found: list[float] = []
        for states in final[:-1].split(self.pace.tokens):
            wanted = ids[len(found) + 1 : len(found) + 1 + len(states)]
            found += (-self.logprobs(states, wanted)).tolist()
            yield self.tokens
        return found

    def forget(self) -> None:
        """Let go of the beginning."""
        self._ids, self._cache = [], None

    def rows(self, length: int) -> int:
        """How many rows of `length` tokens to run at a time from the beginning on."""
        each = self._bytes_each() * (len(self._ids) + length)
        return max(1, min(self.pace.tokens // max(1, length), HELD // max(1, each)))

    def follow(self, rows: Sequence[Sequence[int]]) -> Branch:
        """Run B rows of t tokens each on from the beginning."""
        whole = tuple((*self._ids, *row) for row in rows)
        cache = None
        if self._shares:
            assert self._cache is not None
            # The beginning itself is not written to: its layers copy when a row is put behind.
            cache = borrow(self._cache, len(self._ids)) if self._ids else DynamicCache()
        return self._run(whole, rows, cache)

    def further(self, branch: Branch, of: Sequence[int], rows: Sequence[Sequence[int]]) -> Branch:
        """Run B rows of t tokens each on from the rows `of` a branch, which stays as it is."""
        whole = tuple((*branch.ids[at], *row) for at, row in zip(of, rows, strict=True))
        cache = None
        if branch.cache is not None:
            chosen = torch.tensor(list(of), device=self.reader.device)
            every = list(of) == list(range(len(branch.ids)))
            held = [
                (keys, values)
                for layer in branch.cache.layers
                if (keys := getattr(layer, "keys", None)) is not None
                and (values := getattr(layer, "values", None)) is not None
            ]
            cache = Cache(
                layers=[
                    BorrowedLayer(keys, values)
                    if every
                    else BorrowedLayer(keys[chosen], values[chosen])
                    for keys, values in held
                ]
            )
        return self._run(whole, rows, cache)

    @torch.inference_mode()
    def scores(self, final: Tensor) -> Tensor:
        """Log-probabilities (n, V), float32, of the next token for states (n, D)."""
        return self.reader.logits(final).float().log_softmax(dim=-1)

    @torch.inference_mode()
    def logprobs(self, final: Tensor, ids: Sequence[int]) -> Tensor:
        """Log-probabilities (n,), float32 on the CPU, that states (n, D) give to tokens (n,)."""
        wanted = torch.tensor(list(ids), device=final.device)
        found = []
        for states, these in zip(final.split(JUDGED), wanted.split(JUDGED), strict=True):
            logits = self.reader.logits(states).float()  # (n, V)
            chosen = logits.gather(1, these[:, None])[:, 0]
            found.append(chosen - logits.logsumexp(dim=-1))
        return torch.cat(found).cpu()

    @torch.inference_mode()
    def _run(
        self, whole: tuple[tuple[int, ...], ...], rows: Sequence[Sequence[int]], cache: Cache | None
    ) -> Branch:
        begun, before = time.perf_counter(), self.tokens
        if cache is not None:
            final = self._base(torch.tensor([list(row) for row in rows]), cache)
        else:
            count = len(rows[0])
            final = torch.stack([self._alone(list(ids))[-count:] for ids in whole])
        self.pace.note(self.tokens - before, time.perf_counter() - begun)
        return Branch(whole, final, cache)

    def _base(self, ids: Tensor, cache: Cache) -> Tensor:
        """Run tokens (B, t) over a cache: what the output embedding reads of them, (B, t, D)."""
        self.tokens += ids.numel()
        base = self.reader.base
        given = {"input_ids": ids.to(self.reader.device), **over(base, cache)}
        if attends_by_itself(self.reader):
            with attending_by_itself(self.reader):
                final: Tensor = base(**given)[0]
        else:
            final = base(**given)[0]
        return final

    def _alone(self, ids: list[int]) -> Tensor:
        """Run one text as the engine runs it: (T, D)."""
        self.tokens += len(ids)
        trace, _ = self.reader.read(None, ids, [], lambda: False)
        return trace.final.rows().clone()

    def _bytes_each(self) -> int:
        """Bytes of keys and values of one token."""
        layers = self._cache.layers if self._cache is not None else ()
        held = [keys for layer in layers if (keys := getattr(layer, "keys", None)) is not None]
        return sum(2 * keys.shape[1] * keys.shape[3] * keys.itemsize for keys in held)

    @torch.inference_mode()
    def _agrees(self, ids: list[int]) -> bool:
        """Whether rows run together over a cache say what the engine's own pass says."""
        if not self.reader.builds_on:
            return False
        ids = ids or list(range(1, 9))
        tried = (ids * 8)[:8] if len(ids) < 8 else ids[:24]
        half = len(tried) // 2
        try:
            alone = self._alone(tried).float()
            begun = ArenaCache()
            first = self._base(torch.tensor([tried[:half]]), begun)
            rows = torch.tensor([tried[half:]] * 2)
            both = self._base(rows, borrow(begun, half))
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False
        together = torch.cat([first.expand(2, -1, -1), both], dim=1).float()
        if together.shape != (2, *alone.shape):
            return False
        limit = min(_WORST, _DIGITS * torch.finfo(self.reader.model.dtype).eps)
        return bool((together - alone).abs().max() <= limit * alone.abs().max())
