"""A linear layer that is quick for a row or a few, on a CPU.

What a keystroke runs is one token or two, and then nearly all its time goes into reading weights.
`torch.nn.functional.linear` hands so few rows to a general matrix product that reads them at half
of what the memory gives, but for a single one: on two cores, all linear layers of SmolLM2-135M take
it 31 to 44 ms for one row and 55 to 76 for two. The product the other way round, W·xᵀ with its
columns filled up to four, takes 30 ms for two to four. The sums are the same, in another order. For
one row it is no quicker, and over the 49,152 rows of the output embedding takes 23 ms instead of 9.

numpy's BLAS would do one row in 22 ms. But its threads and torch's both go on waiting for work
after a product and take the cores from each other: called in turn a step took five times as long,
and fifty times on a machine that was busy with other things.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

FEW = 4
"""Up to this many rows. The product the other way round is quickest for just four columns."""


def times(weight: Tensor, rows: Tensor) -> Tensor:
    """``rows · weightᵀ`` for a few rows.

    Parameters
    ----------
    weight : Tensor
        float32 on the CPU, (O, I).
    rows : Tensor
        float32, (n, I), 1 ≤ n ≤ `FEW`.

    Returns
    -------
    Tensor
        float32, (n, O).
    """
    if len(rows) == 1:
        return linear(rows, weight)
    filled = rows.new_zeros(FEW, rows.shape[1])
    filled[: len(rows)] = rows
    product = torch.mm(weight, filled.t())  # (O, FEW)
    return product.t()[: len(rows)].contiguous()  # some families insist on rows that lie in line


class FewRowsLinear(nn.Linear):
    """`torch.nn.Linear`, and quick for a few rows."""

    def forward(self, input: Tensor) -> Tensor:
        """(…, I) → (…, O)."""
        if _many(input) or _learning(input):
            return super().forward(input)
        found = times(self.weight, input.reshape(-1, self.in_features))
        if self.bias is not None:
            found = found + self.bias
        return found.view(*input.shape[:-1], self.out_features)


class FewRowsConv1D(Conv1D):
    """GPT-2's linear layer, whose weight lies the other way round, and quick for a few rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, I) → (…, O)."""
        if _many(x) or _learning(x):
            found: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return found
        product = times(self.weight.t(), x.reshape(-1, x.shape[-1])) + self.bias
        return product.view(*x.shape[:-1], self.nf)


_QUICK: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: FewRowsLinear, Conv1D: FewRowsConv1D}


def quicken(model: nn.Module) -> None:
    """Make the linear layers of a float32 model on the CPU quick for a few rows."""
    for module in model.modules():
        quick = _QUICK.get(type(module))
        weight = getattr(module, "weight", None)
        if quick and weight is not None and quickens(weight):
            module.__class__ = quick


def quickens(weight: Tensor) -> bool:
    """Whether `times` takes this weight."""
    return weight.dtype == torch.float32 and weight.device.type == "cpu" and not _learning(weight)


def _many(rows: Tensor) -> bool:
    return not 0 < rows.numel() <= FEW * rows.shape[-1]


def _learning(value: Tensor) -> bool:
    """Whether a gradient is wanted, which numpy does not know of."""
    return value.requires_grad
