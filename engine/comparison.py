"""The frozen values of a comparison: the same text under two contexts or in two models.

Shape letters: n tokens that both sides share, m tokens of one side, L layers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.types import Floats, Ints, ModelInfo, Query, Result, Stack, Token


def identity(info: ModelInfo) -> str:
    """What tells a model from another one: the hash of its weights, or its name without one."""
    return info.fingerprint or info.name


def signature(info: ModelInfo) -> str:
    """What a model's numbers depend on: its identity, and the type it computes in."""
    return f"{identity(info)} {info.dtype}"


@dataclass(frozen=True, slots=True)
class SecondLoaded:
    """Another model is there beside the one that answers, to be compared with it."""

    info: ModelInfo


@dataclass(frozen=True, slots=True)
class CompareQuery(Query):
    """The request's text behind the context `one`, against the same behind the context `other`.

    An empty context is the text alone. `layer` and `head` choose the attention that is compared,
    of the block `layer` of `stack`; `space` the layer of the latent space in which both paths are
    told, None for no path. Without `attention` no map is compared, only how far each head moved.
    `count` is how many likeliest next tokens are told of each side. `model` is the `identity` of
    the model that reads the other side; empty for the one that answers, which reads side one.
    """

    one: str = ""
    other: str = ""
    layer: int = 0
    head: int | Literal["mean"] = "mean"
    stack: Stack | None = None
    space: int | None = None
    attention: bool = True
    count: int = 5
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two: the text behind a context.

    Attributes
    ----------
    context : str
        What stands before the text.
    tokens : tuple of Token
        The m tokens that hold characters of the text. Their offsets count in the text: one that
        begins in the context, where the tokenizer merged across the boundary, has a negative start.
    places : Ints (m,)
        Where they stand among all `count` tokens of context and text.
    own : Ints (m,)
        Which token of the snapshot, whose text is read alone, has just these characters; else −1.
    surprise : Floats (m,)
        −log2 p(token | all before it) in bits of those that both sides share; NaN elsewhere, and
        where no prediction was made.
    next_ids, next_texts, next_probabilities
        The likeliest tokens after the text; empty where the model predicts none.
    model : str
        The title of the model that reads it.
    """

    context: str
    tokens: tuple[Token, ...]
    places: Ints
    own: Ints
    count: int
    surprise: Floats
    next_ids: tuple[int, ...]
    next_texts: tuple[str, ...]
    next_probabilities: Floats
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CompareResult(Result):
    """What another context, or another model, changes from `one` to `other`.

    Two models are compared as far as they have the same things: the numbers below are NaN, or
    None, for what one of them has not. L and H are those of the model that reads side one.

    Attributes
    ----------
    pairs : Ints (n, 2)
        The tokens that stand for the same characters on both sides, as indices into their
        `Side.tokens`; rising. All arrays of n are in this order.
    shift : Floats (n, L + 1)
        Cosine distance 1 − cos of a token's state on one side and on the other, by depth, 0..2. NaN
        above the depth of the shallower of two models, and everywhere if their widths differ.
    kl : Floats (n,) or None
        KL(p_other ‖ p_one) in nats, p being the distribution that predicts the token; NaN where a
        side makes no prediction. None where the model predicts no next token. Of two models, p is
        taken over the vocabulary entries that both have.
    pcxmi : Floats (n,) or None
        P-CXMI, log p_other(token) − log p_one(token) in nats (Fernandes et al. 2021, 2105.03482):
        above 0 where the other context helps.
    next_kl : float
        KL(p_other ‖ p_one) in nats of what comes after the text; NaN where nothing is predicted.
    attention : Floats (n, n) or None
        Weight on the other side less weight on one, of queries (rows) and keys (columns) that both
        share. None where it was not asked for, or the model's attention cannot be seen there.
    elsewhere : Floats (2, n) or None
        What a row gives to all keys that are not shared, on one side and on the other.
    heads : Floats (L, H) or None
        How far a head's rows moved, 0..1: the total variation ½Σ|A_other − A_one|, averaged over
        the n rows. The first token of each side, on which many heads rest their weight, counts as
        the same key whatever it is; all other keys that are not shared count as one. None also
        where two models differ in L or H.
    space, paths, reference
        The layer of the latent space, where the n tokens lie in its picture on either side
        (2, n, 2), and what lies behind (N, 2). None without a space. Of two models it is the space
        of the one that reads side one, None if the other's states do not fit into it.
    second : str
        The `identity` of the model that reads the other side; empty if the same reads both.
    """

    layer: int
    head: int | Literal["mean"]
    stack: Stack
    one: Side
    other: Side
    pairs: Ints
    shift: Floats
    kl: Floats | None
    pcxmi: Floats | None
    next_kl: float
    attention: Floats | None
    elsewhere: Floats | None
    heads: Floats | None
    space: int | None = None
    paths: Floats | None = None
    reference: Floats | None = None
    second: str = ""

    @property
    def unshared(self) -> tuple[int, int]:
        """How many tokens of each side have no counterpart on the other."""
        count = len(self.pairs)
        return len(self.one.tokens) - count, len(self.other.tokens) - count
