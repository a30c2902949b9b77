"""Every head's map as a thumbnail, without ever holding all maps.

A thumbnail keeps the largest weight of each block of b × b weights, so that a lone peak does not
fade. Thumbnails are kept with the trace: a causal model's old rows do not change, so a keystroke
folds in its own rows only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.estimate import ROWS, TAKEN_BACK
from engine.models import kernels
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_numpy
from engine.trace import AttentionMaps, FreshRows, LayerAttention
from engine.types import MosaicQuery, MosaicResult, Stack

FEW = 8
"""Up to so many new rows, what a call costs counts for more than what all cores would gain."""


@dataclass(frozen=True, slots=True)
class Note:
    """The last row of blocks, `cells` (L, H, ⌈t/b⌉), as it was when there were `begun` = t queries.

    A typed letter takes back some of the last rows, and of a maximum nothing can be taken back.
    """

    begun: int
    cells: Tensor


@dataclass(slots=True)
class Thumbnails:
    """Block maxima `maps` (L, H, ⌈T/b⌉, ⌈S/b⌉) over the first `rows` queries.

    `notes` are `TAKEN_BACK` at most, the one begun last at the end. `folded` counts the rows that
    were ever joined.
    """

    block: int
    maps: Tensor
    rows: int = 0
    folded: int = 0
    notes: list[Note] = field(default_factory=list)

    def note(self) -> None:
        """Remember the last row of blocks as it is, before a row is joined to it."""
        full, rest = divmod(self.rows, self.block)
        if rest and all(one.begun != self.rows for one in self.notes):
            cells = self.maps[:, :, full, : full + 1].clone()
            self.notes = [*self.notes[1 - TAKEN_BACK :], Note(self.rows, cells)]

    def keep(self, count: int) -> None:
        """Keep only rows of blocks that lie wholly before `count`, or those that were noted."""
        if count >= self.rows:
            return
        self.notes = [one for one in self.notes if one.begun <= count]
        whole = count // self.block
        last = self.notes[-1] if self.notes else None
        if last is not None and last.begun > whole * self.block:
            width = whole + 1
            self.rows, self.maps = last.begun, self.maps[:, :, :width, :width]
            self.maps[:, :, whole] = last.cells
        else:
            self.rows, self.maps = whole * self.block, self.maps[:, :, :whole, :whole]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        # What was taken back lies behind the maps until they grow again.
        return self.maps.untyped_storage().nbytes() + sum(one.cells.nbytes for one in self.notes)


def block_size(rows: int, columns: int, size: int) -> int:
    """The smallest power of two b such that maps shrunk by b have at most `size` cells a side."""
    block = 1
    while -(-max(rows, columns) // block) > size:
        block *= 2
    return block


def shrink(weights: Tensor, block: int) -> Tensor:
    """Largest weight of each block × block square: (H, t, S) → (H, ⌈t/b⌉, ⌈S/b⌉)."""
    return torch.nn.functional.max_pool2d(weights, block, ceil_mode=True)


def answer(passed: Pass, query: MosaicQuery) -> MosaicResult:
    """Thumbnails of all heads of one stack."""
    stack: Stack = query.stack or passed.loaded.info.stacks[0]
    layers = passed.trace.attention.get(stack, [])
    # Some models attend in a few of their layers only; the others' thumbnails stay zero.
    first = next((layer for layer in layers if layer.heads), None)
    if first is None:
        raise NotAnswerable(f"{passed.loaded.info.title} has no {stack} attention")
    rows, columns = first.rows, first.columns
    block = block_size(rows, columns, query.size)
    key = f"mosaic {stack} {query.size}"
    kept = passed.trace.memos.get(key)
    if not isinstance(kept, Thumbnails) or kept.block > block:
        kept = _of_another_size(passed, stack, block)
    if kept is None:
        nothing = first.weights(stop=1).new_zeros((len(layers), first.heads, 0, 0))
        kept = Thumbnails(block, nothing)
    while kept.block < block:
        _double(kept)
    _fold(kept, layers, rows, columns, passed.trace.fresh)
    passed.trace.memos[key] = kept
    return MosaicResult(stack=stack, maps=to_numpy(kept.maps), rows=rows, columns=columns)


def _of_another_size(passed: Pass, stack: Stack, block: int) -> Thumbnails | None:
    """A copy of the thumbnails of most rows that blocks of `block` can be made of.

    A window that is made smaller asks for fewer cells, which need not be worked out anew.
    """
    kept = [
        memo
        for key, memo in passed.trace.memos.items()
        if key.startswith(f"mosaic {stack} ") and isinstance(memo, Thumbnails)
    ]
    fine = [memo for memo in kept if memo.block <= block and memo.rows]
    if not fine:
        return None
    best = max(fine, key=lambda memo: (memo.rows, memo.block))
    return Thumbnails(best.block, best.maps.clone(), best.rows)


def _double(kept: Thumbnails) -> None:
    """Make the blocks twice as large: the largest of four maxima is the maximum of all."""
    if kept.rows:
        kept.maps = shrink(kept.maps.flatten(0, 1), 2).unflatten(0, kept.maps.shape[:2])
    kept.block *= 2
    kept.notes = []  # each would need the row of blocks before it too


def _fold(
    kept: Thumbnails,
    layers: list[AttentionMaps],
    rows: int,
    columns: int,
    fresh: FreshRows | None,
) -> None:
    """Bring the thumbnails up to `rows` queries."""
    if kept.rows == rows:
        return
    block = kept.block
    height, width = -(-rows // block), -(-columns // block)
    if kept.maps.shape[2:] != (height, width) or not kept.maps.is_contiguous():
        maps = kept.maps.new_zeros((*kept.maps.shape[:2], height, width))
        old = kept.maps
        maps[:, :, : old.shape[2], : old.shape[3]] = old
        kept.maps = maps
    if fresh is not None and fresh.start < kept.rows:
        fresh = None  # some of it was joined
    _fold_old(kept, layers, rows if fresh is None else fresh.start)
    if fresh is not None:
        _fold_fresh(kept, fresh)


def _fold_old(kept: Thumbnails, layers: list[AttentionMaps], stop: int) -> None:
    """Join the rows up to `stop`, which are worked out layer by layer."""
    if kept.rows == stop:
        return
    attending = {index: layer for index, layer in enumerate(layers) if layer.heads}
    plain = [isinstance(layer, LayerAttention) and layer.plain for layer in attending.values()]
    # The last rows one by one, each of which is noted, where that costs next to nothing.
    first = stop - TAKEN_BACK + 1 if all(plain) else stop
    for end in range(max(first, kept.rows + 1), stop + 1):
        kept.note()
        for index, layer in attending.items():
            if end - kept.rows <= FEW and isinstance(layer, LayerAttention) and layer.plain:
                _fold_few(kept, index, layer, end)
            else:
                _fold_many(kept, index, layer, end)
        kept.folded += end - kept.rows
        kept.rows = end


def _fold_fresh(kept: Thumbnails, fresh: FreshRows) -> None:
    """Join what the pass has just worked out of all layers."""
    block, maps = kept.block, kept.maps.numpy()  # (L, H, s, s')
    edges = np.arange(0, fresh.weights.shape[3], block)
    small = np.maximum.reduceat(fresh.weights, edges, axis=3)  # (L, n, H, s')
    for row in range(small.shape[1]):
        kept.note()
        cells = maps[:, :, kept.rows // block]  # (L, H, s')
        np.maximum(cells, small[:, row], out=cells)
        kept.folded += 1
        kept.rows += 1


def _fold_few(kept: Thumbnails, index: int, layer: LayerAttention, stop: int) -> None:
    """Join a few rows of a layer to the maxima of their blocks, which is all that changes."""
    queries, keys = layer.arrays()
    scale, maps = layer.scale, kept.maps[index].numpy()  # (H, s, s')
    kernels.fold(queries, keys, scale, kept.rows, stop, kept.block, maps)


def _fold_many(kept: Thumbnails, index: int, layer: AttentionMaps, rows: int) -> None:
    """Join the new rows of a layer, whatever its attention is made of and wherever it lies."""
    block, maps = kept.block, kept.maps[index]
    # The last block may be half full: its new rows are joined to the maxima it has.
    # In pieces, which bounds what is held to H·256·S floats.
    step = max(block, ROWS // block * block)
    for low in range(kept.rows // block * block, rows, step):
        start, stop = max(low, kept.rows), min(low + step, rows)
        weights = layer.weights(start=start, stop=stop)  # (H, t, S)
        if start > low:  # pad up to the block's first row
            weights = torch.nn.functional.pad(weights, (0, 0, start - low, 0))
        small = shrink(weights, block)  # (H, t/b, S/b)
        part = maps[:, low // block : low // block + small.shape[1]]
        torch.maximum(part, small, out=part)


PROBE = ProbeSpec(MosaicQuery, "attention", answer, slow=True)
