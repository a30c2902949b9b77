"""How good a small causal model is at prose, and how well it looks back.

Shape letters: B rows, T tokens, H heads, L layers, V vocabulary, N the period of a repetition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Mean loss in nats a token, share of tokens that were the likeliest, and how many there were.

    `loss` and `accuracy` are NaN where nothing was predicted.
    """

    loss: float
    accuracy: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """The number of equally likely tokens that would be as hard to tell apart."""
        return float(np.exp(self.loss))


def induction_scores(maps: NDArray[np.floating], period: int) -> Floats:
    """How much each head looks at what followed the current token's last appearance.

    Parameters
    ----------
    maps : (..., T, T) array
        Attention over random tokens repeated with `period`, no token before them.
    period : int
        N; row i ≥ N is given the score A[i, i − N + 1].

    Returns
    -------
    (...) float64
        1.0 for a perfect induction head; a head that spreads its attention evenly over two
        repetitions of 50 gets 0.0138.
    """
    # Entries [i, i - N + 1] lie on one diagonal, which starts in row N - 1 where i - N + 1 is 0;
    # that row still belongs to the first appearance.  (..., T, T) -> (..., T - N)
    diagonal = np.diagonal(maps, offset=1 - period, axis1=-2, axis2=-1)[..., 1:]
    scores: Floats = diagonal.astype(np.float64).mean(axis=-1)
    return scores


def repeated_tokens(rows: int, period: int, vocabulary: int, seed: int) -> Ids:
    """Random tokens (rows, 2N), the second half a copy of the first; never the end token, 0."""
    half = np.random.default_rng(seed).integers(1, vocabulary, size=(rows, period))
    return np.concatenate([half, half], axis=1)


@torch.no_grad()
def attention_maps(model: nn.Module, ids: Ids) -> NDArray[np.float32]:
    """Every attention map of a causal model over `ids` (B, T), as (B, L, H, T, T).

    The model must have been loaded with ``attn_implementation="eager"``.
    """
    model.eval()
    output = model(torch.from_numpy(ids), output_attentions=True, use_cache=False)
    # L times (B, H, T, T) -> (B, L, H, T, T)
    maps: NDArray[np.float32] = torch.stack(output.attentions, dim=1).float().numpy()
    return maps


def model_induction(
    model: nn.Module, vocabulary: int, period: int = 50, rows: int = 16, seed: int = 0
) -> Floats:
    """Induction score of every head, (L, H), averaged over `rows` random sequences."""
    maps = attention_maps(model, repeated_tokens(rows, period, vocabulary, seed))
    # (B, L, H, T, T) -> (B, L, H) -> (L, H)
    scores: Floats = induction_scores(maps, period).mean(axis=0)
    return scores


@torch.no_grad()
def predict(model: nn.Module, rows: Ids, first: int = 1, at_once: int = 8) -> Prediction:
    """How well `model` predicts tokens `first` and later of each row (B, T) from those before."""
    model.eval()
    loss = hits = tokens = 0.0
    for start in range(0, len(rows), at_once):
        ids = torch.from_numpy(rows[start : start + at_once])  # (b, T)
        logits = model(ids, use_cache=False).logits.float()  # (b, T, V)
        guesses = logits[:, first - 1 : -1].flatten(0, 1)  # (b * (T - first), V)
        targets = ids[:, first:].flatten()  # (b * (T - first),)
        loss += float(nn.functional.cross_entropy(guesses, targets, reduction="sum"))
        hits += float((guesses.argmax(-1) == targets).sum())
        tokens += targets.numel()
    if not tokens:
        return Prediction(float("nan"), float("nan"), 0)
    return Prediction(loss / tokens, hits / tokens, int(tokens))


def repeat_accuracy(
    model: nn.Module, vocabulary: int, period: int = 50, rows: int = 16, seed: int = 0
) -> float:
    """Share of tokens told right in the second half of random tokens repeated twice.

    The half's first token is left out: nothing says that the repetition begins there.
    """
    ids = repeated_tokens(rows, period, vocabulary, seed)
    return predict(model, ids, first=period + 1).accuracy


def windows(ids: Ids, length: int) -> Ids:
    """Cut tokens (N,) into rows (B, length) that do not overlap; what is left over is dropped."""
    count = len(ids) // length
    return ids[: count * length].reshape(count, length)
