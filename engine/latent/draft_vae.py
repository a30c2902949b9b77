"""A variational autoencoder from a sentence's tokens to a point and back to a draft of them.

    q(z|s) = N(μ(s), diag σ²(s)),   p(z) = N(0, I),   p(s|z) = Π_i softmax(W·d_i(z))_{s_i}

s are a sentence's tokens and the one that ends it. The encoder reads the model's input embeddings
of the tokens, which stay as they are; the decoder makes of a point all vectors d_i at once, one for
each place, and scores a word by the product with that same embedding. Such a draft knows nothing
of what stands beside a word: "the the" costs it nothing. What makes a sentence of it is the model
itself, see `draft_writing`.

Shape letters: N sentences, n their tokens, S places, D model width, Z latent width, V words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - as all the world calls it
from torch import Tensor, nn

PLACES = 15
"""S: tokens of the longest sentence, its end among them."""

LONGEST = PLACES - 1
"""Tokens of the longest sentence."""

_SCALE = 3.0  # of scores, so that vectors of length 1 can say something with certainty
_QUERIES = 4
_HEADS = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths of a `DraftVAE`: D, Z, of encoder and decoder, and how many words there are, V."""

    width: int
    latent: int
    encoder: int
    decoder: int
    words: int


class DraftVAE(nn.Module):
    """Encoder and decoder.

    Parameters
    ----------
    shape : Shape
        The widths.

    Attributes
    ----------
    vocabulary : Tensor
        (V,) int64: the model's tokens that a draft may be made of. The last ends a sentence.
    """

    vocabulary: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        encoder, decoder = shape.encoder, shape.decoder
        self.register_buffer("vocabulary", torch.zeros(shape.words, dtype=torch.long))
        self.register_buffer("centre", torch.zeros(shape.width))
        self.register_buffer("scale", torch.ones(shape.width))
        self.inwards = nn.Linear(shape.width, encoder)
        self.positions = nn.Parameter(0.02 * torch.randn(LONGEST, encoder))
        self.reading = nn.TransformerEncoderLayer(
            encoder,
            _HEADS,
            2 * encoder,
            dropout=0.0,
            batch_first=True,
            norm_first=True,
            activation="gelu",
        )
        self.queries = nn.Parameter(0.05 * torch.randn(_QUERIES, encoder))
        self.norm = nn.LayerNorm(encoder)
        self.posteriors = nn.Sequential(
            nn.Linear(_QUERIES * encoder, encoder),
            nn.GELU(),
            nn.Linear(encoder, 2 * shape.latent),
        )
        self.point = nn.Linear(shape.latent, decoder)
        self.places = nn.Parameter(0.3 * torch.randn(PLACES, decoder))
        self.first = nn.Linear(decoder, decoder)
        self.again = nn.Linear(shape.latent, decoder)
        self.second = nn.Linear(decoder, decoder)
        self.last_norm = nn.LayerNorm(decoder)
        self.outwards = nn.Linear(decoder, shape.width)
        self.bias = nn.Parameter(torch.zeros(shape.words))

    def posterior(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """μ and ln σ², each (N, Z), of sentences of one length given as embeddings (N, n, D)."""
        x = ((embedded.float() - self.centre) / self.scale).clamp(-5, 5)
        x = self.norm(self.reading(self.inwards(x) + self.positions[: x.shape[1]]))  # (N, n, E)
        weights = torch.einsum("qe,bne->bqn", self.queries, x).softmax(dim=-1)
        mu, logvar = self.posteriors((weights @ x).flatten(1)).chunk(2, dim=-1)
        return mu, logvar.clamp(-8, 4)

    def vectors(self, z: Tensor, places: int = PLACES) -> Tensor:
        """The vector of each place, (N, S, D), of points (N, Z)."""
        x = F.gelu(self.point(z)[:, None] + self.places[:places])
        x = x + self.second(F.gelu(self.first(x) + self.again(z)[:, None]))
        found: Tensor = self.outwards(self.last_norm(x))
        return found

    def scores(self, vectors: Tensor, words: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Scores (N, S, V) of words before the softmax.

        Parameters
        ----------
        vectors : (N, S, D)
            Of `vectors`.
        words : (V, D)
            The words' embeddings as `unit` gives them.
        chosen : (v,) int64, optional
            Only of these words; then `words` are theirs alone.
        """
        bias = self.bias if chosen is None else self.bias[chosen]
        return _SCALE * vectors @ words.T + bias

    def draft(self, z: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities (N, S, V) of the words at each place, for points (N, Z)."""
        return self.scores(self.vectors(z), words).log_softmax(dim=-1)


def unit(embedding: Tensor, vocabulary: Tensor) -> Tensor:
    """The embeddings (V, D) of a vocabulary's words, float32, their mean length being 1."""
    words = embedding[vocabulary.to(embedding.device)].float()
    scaled: Tensor = words / words.norm(dim=-1).mean().clamp(min=1e-12)
    return scaled


def lengths(draft: Tensor) -> list[int]:
    """How many tokens each of the drafts (N, S, V) has before its end: at least one."""
    ends = draft.argmax(dim=-1) == draft.shape[-1] - 1  # (N, S)
    at = torch.where(ends.any(dim=-1), ends.int().argmax(dim=-1), torch.tensor(LONGEST))
    return [max(1, min(LONGEST, int(one))) for one in at]
