"""The frozen values that cross between the engine's thread and everything else.

No torch and no Qt in here. A value is never changed once it was made: arrays are read-only,
mappings are proxies. A `Request` says everything an answer depends on, so that an answer never has
to ask.

Shape letters: T tokens, S tokens attended to, L layers, H heads, D model width, Z latent width,
N reference points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

Kind = Literal["decoder", "encoder", "encoder-decoder"]
"""What a model is: causal, bidirectional, or the two joined by cross-attention."""

Stack = Literal["encoder", "decoder", "cross"]
"""Which attention of a model is meant. A model with one stack only has its own."""


LatentPlane = (
    Literal["own", "components", "three components", "umap"]
    | tuple[int, int]
    | tuple[int, int, int]
)
"""Which picture of a latent space is drawn: the plane it was made with, the first two or three
principal components of its reference μ, the UMAP of those, or two or three of its dimensions,
counted from 0."""


Pooling = Literal["tokens", "mean", "last"]
"""States of tokens; or of sentences, as the mean of their tokens' states or the last token's."""


def frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return `array`, made read-only."""
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a context.

    `start` and `end` are offsets into the text in characters, half open. Several tokens share one
    span where a character is spread over them (bytes of an emoji); a special token that stands for
    no text has an empty span. `data` are the bytes it stands for, empty where the tokenizer cannot
    say. `text` is fit to be drawn: byte fragments read ``⟨F0 9F⟩``, never a replacement character.
    """

    id: int
    text: str
    data: bytes
    start: int
    end: int
    special: bool = False


Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""What a model computes in; ``auto`` is float32 on a CPU and bfloat16 on an accelerator."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How far a model of fewer digits was from itself in float32, at the worst place.

    `error` is the largest difference of a number of the kind `of` over a text of `tokens` tokens;
    NaN where numbers ran over.
    """

    error: float
    of: str
    tokens: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the rest of the program may know of a loaded model.

    `layers` counts the blocks of the stack that reads the text; an encoder-decoder's second stack
    has `decoder_layers`. `heads` is 0 where there is no attention to be seen, and `layers` where
    there are only input embeddings. `provides` names what views can ask for: ``embedding``,
    ``attention``, ``cross-attention``, ``next`` (a distribution over the next token), ``gates`` (an
    LSTM's), ``latent``; ``chat`` says that a request may ask for the model's template for
    conversations.
    `latent_layers` are the layers for which a latent space of token states is at hand, and
    `sentence_spaces` layer and pooling of those of sentence states; `drafts` says that there is a
    space of sentences to write from (`engine.latent.draft_file`). `source` tells the user where
    the weights came from; `fingerprint` is the SHA-256 of the weight files. `dtype` is what it
    computes in, and `precision` how far that is from float32, None if it is or was not measured.
    """

    name: str
    title: str
    family: str
    kind: Kind
    layers: int
    heads: int
    width: int
    vocabulary: int
    max_tokens: int
    parameters: int
    device: str
    dtype: str
    provides: frozenset[str]
    decoder_layers: int = 0
    latent_layers: tuple[int, ...] = ()
    sentence_spaces: tuple[tuple[int, Pooling], ...] = ()
    drafts: bool = False
    source: str = ""
    fingerprint: str = ""
    precision: Precision | None = None

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The kinds of attention this model has, the first being what a view shows unasked."""
        if self.kind == "encoder-decoder":
            return ("encoder", "decoder", "cross")
        return (self.kind,)

    def depth(self, stack: Stack) -> int:
        """How many layers the given stack has."""
        return (
            self.decoder_layers
            if self.kind == "encoder-decoder" and stack != "encoder"
            else self.layers
        )


# --- what can be asked ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """Something that can be asked of a pass. One probe in engine/probes answers each subclass."""


@dataclass(frozen=True, slots=True)
class EmbeddingQuery(Query):
    """The residual stream of one layer. Layer 0 is the input embedding, L the last block's output.

    With `picture`, also where its tokens lie in their own first two principal components.
    """

    layer: int
    stack: Stack | None = None
    picture: bool = True


@dataclass(frozen=True, slots=True)
class NeighboursQuery(Query):
    """The vocabulary entries whose input embeddings are nearest to one token's state."""

    layer: int
    position: int
    count: int = 12
    stack: Stack | None = None


@dataclass(frozen=True, slots=True)
class AttentionQuery(Query):
    """One attention map; `head` None asks for all heads of the layer, ``"mean"`` for their mean."""

    layer: int
    head: int | Literal["mean"] | None = "mean"
    stack: Stack | None = None


@dataclass(frozen=True, slots=True)
class MosaicQuery(Query):
    """Every map of every layer, each shrunk by block maximum to at most `size` cells a side."""

    size: int = 24
    stack: Stack | None = None


@dataclass(frozen=True, slots=True)
class GatesQuery(Query):
    """What the gates of an LSTM's layer `layer`, from 0, did at each token."""

    layer: int


@dataclass(frozen=True, slots=True)
class NextQuery(Query):
    """The most likely next tokens, and how surprising each token of the context was.

    `temperature` T > 0 divides the scores before the softmax: p = softmax(scores / T).
    """

    count: int = 8
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class LatentQuery(Query):
    """Where the tokens' states lie in the latent space kept for `layer` (None: the model's own).

    `plane` is the picture that is wanted; a space that cannot show it shows its own. `states` other
    than those of tokens ask for the context's sentences in the space of such sentence states.
    """

    layer: int | None = None
    plane: LatentPlane = "own"
    states: Pooling = "tokens"


@dataclass(frozen=True, slots=True)
class MemoryQuery(Query):
    """What takes how much memory, once all other queries are answered."""


# --- what is answered ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """An answer to one query. Arrays are float32 and read-only unless said otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingResult(Result):
    """The states of one layer.

    `values` (T, D); `norms` (T,) their Euclidean lengths. `xy` (T, 2) are their places in the first
    two principal components of the states marked in `fitted` (T,), and `explained` (2,) the share
    of those states' variance that each carries; all three None where no picture was asked for.
    """

    layer: int
    stack: Stack
    values: Floats
    norms: Floats
    xy: Floats | None
    explained: Floats | None
    fitted: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NeighboursResult(Result):
    """Vocabulary entries by falling cosine similarity to the state at `position`."""

    layer: int
    position: int
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    similarity: Floats


@dataclass(frozen=True, slots=True, eq=False)
class AttentionResult(Result):
    """`weights` (T, S), or (H, T, S) when all heads were asked for; each row sums to one."""

    layer: int
    head: int | Literal["mean"] | None
    stack: Stack
    weights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class MosaicResult(Result):
    """`maps` (L, H, s, s'): block maxima of all attention maps; `rows`, `columns` give T and S."""

    stack: Stack
    maps: Floats
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, eq=False)
class GatesResult(Result):
    """One layer of an LSTM at each token, (T, D) each.

    The gates `input`, `forget` and `output` lie between 0 (shut) and 1 (open), `candidate` between
    −1 and 1. cell_t = forget ⊙ cell_{t−1} + input ⊙ candidate; hidden = output ⊙ tanh(cell).
    """

    layer: int
    hidden: Floats
    cell: Floats
    input: Floats
    forget: Floats
    output: Floats
    candidate: Floats


@dataclass(frozen=True, slots=True, eq=False)
class NextResult(Result):
    """`ids`, `texts`, `probabilities` of the likeliest next tokens, falling.

    `surprise` (T,) is −log2 p(token | what stands before it) in bits; NaN for the first token,
    for which no prediction was made. Only the probabilities are at `temperature`: surprise is the
    model's own, at 1.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    probabilities: Floats
    surprise: Floats
    temperature: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class LatentResult(Result):
    """The posterior q(z|x) = N(mu, exp(logvar)) of each token's state, and its 2-D picture.

    Of sentences, each row is a sentence of the context: `sentences` (T,) are their texts, `ranges`
    (T, 2) their tokens, half open. Their states are made of their tokens' as they stand in the
    context, where those the space was trained on were of sentences read alone.

    `mu`, `logvar` (T, Z). `xy` (T, 2) and `covariance` (T, 2, 2) are the posterior's mean and
    covariance after the picture's projection. `reference` (N, 2) are held-out states under the same
    projection, `labels` indexes `label_names` (N,). `card` holds the space's measured figures.
    `axes` (Z, 2) are the projection's orthonormal columns, which lead from a point of the picture
    back into the space; None where they are not told. A picture of three directions has 3 in place
    of each of these 2. That of UMAP has no axes, and its `covariance` is NaN: it is not linear.
    `plane` is the picture that is shown; the
    space's own is the first two dimensions of μ, or the first two principal components of the
    reference μ: the card's ``plane`` says which. `planes` says whether there are others than that.
    `texts` (N,) are excerpts of what the reference states are from, or empty; in those of tokens
    the token is ``‹marked›``. `reference_mu` (N, Z) are the reference states' μ; None where the
    space keeps none.
    """

    layer: int
    mu: Floats
    logvar: Floats
    xy: Floats
    covariance: Floats
    reference: Floats
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]
    card: Mapping[str, object]
    axes: Floats | None = None
    reference_mu: Floats | None = None
    plane: LatentPlane = "own"
    planes: bool = False
    texts: tuple[str, ...] = ()
    states: Pooling = "tokens"
    sentences: tuple[str, ...] = ()
    ranges: Ints | None = None


@dataclass(frozen=True, slots=True)
class MemoryResult(Result):
    """Bytes held on the model's device, by what they are for, and what is left.

    `weights` of the model, and of a second one beside it; `cache` keys and values; `states` the
    residual stream of all layers; `queries` queries, and keys where there is no cache; `masks`
    masks and biases; `maps` attention maps of a model that cannot be listened to; `shown` the
    attention map shown; `thumbnails` those of all heads; `memos` what other probes keep. `all_maps`
    is what all attention maps would take in float32; they are not held. `process` is the main
    memory this process holds. `free` of `total` bytes can still be had, by what `bound` names.
    """

    weights: int
    cache: int
    states: int
    queries: int
    masks: int
    maps: int
    shown: int
    thumbnails: int
    memos: int
    all_maps: int
    process: int
    free: int
    total: int
    bound: str

    @property
    def trace(self) -> int:
        """All that the pass left, the cache included."""
        kept = self.maps + self.shown + self.thumbnails + self.memos
        return self.cache + self.states + self.queries + self.masks + kept


# --- one question and its answer -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A text and what the visible views want to know of it.

    `target` is what an encoder-decoder's decoder reads; None gives it the text itself, shifted.
    `limit` is the most tokens to run, None for the engine's own. With `chat` the text is wrapped as
    one user's turn in the model's template for conversations; the template's tokens have empty
    spans. `born` is `time.perf_counter()` at
    the keystroke, so that the time to the picture can be told.
    """

    seq: int
    epoch: int
    text: str
    queries: tuple[Query, ...] = ()
    target: str | None = None
    limit: int | None = None
    born: float = 0.0
    chat: bool = False


@dataclass(frozen=True, slots=True)
class PassStats:
    """What one answer cost: `suffix` tokens were run in `passes` passes, `reused` were kept."""

    passes: int = 0
    suffix: int = 0
    reused: int = 0
    pass_ms: float = 0.0
    total_ms: float = 0.0
    trace_bytes: int = 0
    weight_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything the engine has to say to one request.

    `tokens` are those of the text; `target_tokens` those the decoder of an encoder-decoder read.
    `results` answers the queries; a query that could not be answered stands in `refused` with the
    reason. `notice` is a sentence for the user, such as what the length guard cut and why. With
    `more`, these are the answers that were quick: a snapshot with all of them follows.
    """

    request: Request
    model: ModelInfo
    tokens: tuple[Token, ...]
    target_tokens: tuple[Token, ...] = ()
    results: Mapping[Query, Result] = field(default_factory=lambda: MappingProxyType({}))
    refused: Mapping[Query, str] = field(default_factory=lambda: MappingProxyType({}))
    stats: PassStats = PassStats()
    notice: str = ""
    more: bool = False

    def queries_for(self, stack: Stack) -> tuple[Token, ...]:
        """The tokens along the query axis of an attention map of `stack`."""
        return self.tokens if stack == "encoder" or not self.target_tokens else self.target_tokens

    def keys_for(self, stack: Stack) -> tuple[Token, ...]:
        """The tokens along the key axis of an attention map of `stack`."""
        return self.target_tokens if stack == "decoder" and self.target_tokens else self.tokens


@dataclass(frozen=True, slots=True)
class Failure:
    """A request or a job that came to nothing, and the sentence that says why."""

    epoch: int
    sentence: str
    seq: int | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `fraction` 0..1, or None where the end cannot be known."""

    text: str
    fraction: float | None = None
    job: str = ""


@dataclass(frozen=True, slots=True)
class JobDone:
    """A job came to its end with `value`, or was cancelled and has None."""

    job: str
    value: object = None
    cancelled: bool = False
