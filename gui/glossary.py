"""The terms a newcomer meets, each in one sentence with its formula; tooltips are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Term:
    """A word, what it means in one sentence, and its formula where it has one."""

    name: str
    text: str
    formula: str = ""

    @property
    def tip(self) -> str:
        """The term as rich text for a tooltip."""
        formula = f"<br><i>{escape(self.formula)}</i>" if self.formula else ""
        return f"<p style='margin:0'><b>{escape(self.name)}</b><br>{escape(self.text)}{formula}</p>"


_TERMS = (
    Term(
        "token",
        "A piece of text that the model reads as one unit: a word, a part of one, or some bytes.",
        "text → (t₁, …, t_T),  t_i ∈ {0, …, V−1}",
    ),
    Term(
        "vocabulary",
        "All tokens a model knows, each with a number and an embedding.",
        "V tokens, embedding matrix W_E ∈ ℝ^(V×d)",
    ),
    Term(
        "context",
        "The text the model reads; everything shown is what the model makes of it.",
        "t₁ … t_T, with T at most the model's limit",
    ),
    Term(
        "embedding",
        "The vector a token is turned into before the first layer reads it.",
        "x⁰_i = W_E[t_i] (+ position)",
    ),
    Term(
        "residual stream",
        "The running state of each token, to which every layer adds its part.",
        "x^(l+1) = x^l + attention(x^l) + mlp(x^l + attention(x^l))",
    ),
    Term(
        "layer",
        "A depth in the residual stream: 0 is the input embedding, L what the last block put out.",
        "x^l ∈ ℝ^(T×d),  l = 0 … L",
    ),
    Term(
        "head",
        "One of several attentions that a layer runs side by side, each with its own weights; "
        "L10H4 is head 4 of layer 10.",
        "out = Σ_h A_h · X · W_V^h · W_O^h",
    ),
    Term(
        "mean over heads",
        "The average of the attention maps of all heads of a layer.",
        "Ā = (1/H) · Σ_h A_h",
    ),
    Term(
        "query",
        "What a token asks of the others: the vector that is compared with their keys.",
        "q_i = x_i · W_Q",
    ),
    Term(
        "key",
        "What a token offers to be found by: the vector that queries are compared with.",
        "k_j = x_j · W_K",
    ),
    Term(
        "value",
        "What a token hands over to those that attend to it.",
        "v_j = x_j · W_V",
    ),
    Term(
        "attention",
        "How much each token (row) takes from each token (column); a row sums to one.",
        "A = softmax(Q·Kᵀ / √d_h + mask)",
    ),
    Term(
        "causal mask",
        "A decoder's token sees itself and what stands before it, never what comes after.",
        "A[i, j] = 0 for j > i",
    ),
    Term(
        "first-token sink",
        "Many heads rest their attention on the first token when they have nothing to look for.",
        "sink = mean over i of A[i, 0]",
    ),
    Term(
        "pinned range",
        "Tokens next to each other that attention is zoomed to; a query's attention to the range "
        "is the sum of its weights on the range's tokens.",
        "paid_i = Σ_{a≤j<b} A[i, j]",
    ),
    Term(
        "cross-attention",
        "A decoder's tokens attending to those an encoder has read.",
        "A = softmax(Q_dec·K_encᵀ / √d_h)",
    ),
    Term(
        "surprise",
        "How unexpected a token was to the model, in bits; 0 is certain, 1 is a coin's toss.",
        "s_i = −log₂ p(t_i | t₁ … t_(i−1))",
    ),
    Term(
        "next token",
        "The model's distribution over what follows the context.",
        "p = softmax(W_U · norm(x^L_T))",
    ),
    Term(
        "norm",
        "The length of a token's state.",
        "‖x‖ = √(Σ_d x_d²)",
    ),
    Term(
        "cosine similarity",
        "How alike two states point, whatever their lengths: 1 alike, 0 unrelated, −1 opposed.",
        "cos(x, y) = x·y / (‖x‖·‖y‖)",
    ),
    Term(
        "cosine distance",
        "How far two states point apart, whatever their lengths: 0 alike, 1 unrelated, 2 opposed.",
        "1 − cos(x, y)",
    ),
    Term(
        "P-CXMI",
        "How much likelier a token becomes by what stands before the text, or in the other model, "
        "in nats: above 0 side B is better at it, below 0 it is misled.",
        "log p_B(token | context B, text before it) − log p_A(token | context A, text before it)",
    ),
    Term(
        "KL divergence",
        "How far one prediction of a token lies from another, in nats; 0 where they are the same.",
        "KL(p_B ‖ p_A) = Σ_t p_B(t) · log(p_B(t) / p_A(t))",
    ),
    Term(
        "total variation",
        "How much weight a row of attention has moved, from 0 to 1. Each side's first token counts "
        "as the same; all others that are not shared as one.",
        "½ · Σ_j |A_B[i, j] − A_A[i, j]|",
    ),
    Term(
        "PCA",
        "Principal components: the two directions along which these states differ most.",
        "X − mean = U·S·Vᵀ,  xy = (X − mean)·V[:, :2]",
    ),
    Term(
        "explained variance",
        "The share of all differences between states that a direction carries.",
        "s_k² / Σ_j s_j²",
    ),
    Term(
        "trustworthiness",
        "How far neighbours in a picture are neighbours in truth, from 0 to 1; low where a picture "
        "puts together what does not belong together.",
        "1 − 2/(N·k·(2N − 3k − 1)) · Σ_i Σ_{j near i in the picture, not in truth} (r(i, j) − k), "
        "r = rank of j among i's neighbours in truth",
    ),
    Term(
        "continuity",
        "How far neighbours in truth are neighbours in the picture, from 0 to 1; low where a "
        "picture tears apart what belongs together.",
        "1 − 2/(N·k·(2N − 3k − 1)) · Σ_i Σ_{j near i in truth, not in the picture} (r̂(i, j) − k), "
        "r̂ = rank of j among i's neighbours in the picture",
    ),
    Term(
        "label accuracy",
        "How often a point has the label that most of its k nearest fitted points in the picture "
        "have, itself not counted.",
        "(1/M) · #{i : label(i) = majority of label(j), j among the k nearest of i}",
    ),
    Term(
        "VAE",
        "A variational autoencoder: it learns few coordinates, with their uncertainty, from which "
        "a state can be rebuilt.",
        "z ~ q(z|x) = N(μ(x), σ²(x)),  x̂ = decoder(z)",
    ),
    Term(
        "latent space",
        "The coordinates a VAE has learnt; texts whose states are alike lie near each other.",
        "z ∈ ℝ^Z",
    ),
    Term(
        "μ and σ",
        "Where the VAE puts a state, and how sure it is: the ellipse is drawn at one σ.",
        "z = μ + σ⊙ε,  ε ~ N(0, I)",
    ),
    Term(
        "ELBO",
        "What a VAE is trained to raise: how well it rebuilds, less what its code costs.",
        "E_q[log p(x|z)] − KL(q(z|x) ‖ N(0, I))",
    ),
    Term(
        "KL",
        "What a state's code costs beyond knowing nothing, in nats.",
        "KL = ½·Σ_d (μ_d² + σ_d² − ln σ_d² − 1)",
    ),
    Term(
        "active units",
        "Latent coordinates that carry something: those whose μ differs from state to state.",
        "#{d : Var_x(μ_d) > 0.01}",
    ),
    Term(
        "posterior collapse",
        "A failed VAE: its code says nothing and the decoder ignores it.",
        "KL ≈ 0, no active unit",
    ),
    Term(
        "prefix reuse",
        "What stands before an edit is kept, so that only the changed end of the text is run.",
        "tokens run = T − length of the common prefix",
    ),
    Term(
        "row scaling",
        "Each row of a map is coloured by its own largest weight, so that a first-token sink does "
        "not drown the rest.",
        "c[i, j] = A[i, j] / max_j A[i, j]",
    ),
    Term(
        "log scaling",
        "Colours follow the logarithm of a weight, so that small weights can be told apart.",
        "c = log₁₀ A, cut at a small floor",
    ),
)

TERMS = {term.name: term for term in _TERMS}
"""Every term by its name."""


def tip(name: str) -> str:
    """Explain `name` as rich text for a tooltip.

    Raises
    ------
    KeyError
        If the glossary has no such term.
    """
    return TERMS[name].tip
