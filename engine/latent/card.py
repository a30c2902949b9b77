"""What is written down of a space: what it is of, how it was made and how good it is."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.errors import UserError
from engine.types import ModelInfo, Pooling

FORMAT = 1

Plane = Literal["first two dimensions of μ", "first two principal components of μ"]
"""What a space's picture shows."""


class Figures(msgspec.Struct, frozen=True):
    """A space's measured quality on held-out states.

    `elbo`, `reconstruction` and `kl` are nats a standardised state, ``elbo = reconstruction − kl``;
    `elbo_of_states` is the same bound in the model's own units. `kl_per_dim` is in nats.
    `mutual_information` (nats) cannot exceed `mutual_information_limit`, the logarithm of the
    number of states it was estimated from. The shares of variance explained are of standardised
    states rebuilt from μ, beside those of PCA with as many dimensions; ``ordinary`` leaves out each
    passage's first token, whose state is like no other (and fits that PCA without them). What the
    two dimensions of the picture explain, the others being 0, and their trustworthiness stand
    beside those of the first two principal components of the states. So does `knn_accuracy`, the
    share of states whose label most of the ten nearest others in the picture have; it is None
    where there is one label only.
    """

    held_out_states: int
    elbo: float
    elbo_of_states: float
    reconstruction: float
    kl: float
    kl_per_dim: tuple[float, ...]
    active_units: int
    mutual_information: float
    mutual_information_limit: float
    explained_variance: float
    pca_explained_variance: float
    ordinary_explained_variance: float
    pca_ordinary_explained_variance: float
    picture_explained_variance: float
    pca_picture_explained_variance: float
    trustworthiness: float
    pca_trustworthiness: float
    knn_accuracy: float | None = None
    pca_knn_accuracy: float | None = None


class Card(msgspec.Struct, frozen=True):
    """A space's card. `data` gives the number of states from each text, by the text's name.

    `states` is ``tokens`` or ``sentences``, and `pooling` says how a sentence's state comes of its
    tokens': ``mean`` or ``last``; ``tokens`` where it does not. `reference` is the command that
    collected the states it is shown against, where that was not the training itself; `label_names`
    are then theirs.
    """

    model: str
    title: str
    fingerprint: str
    layer: int
    width: int
    latent: int
    hidden: int
    settings: dict[str, float | int]
    data: dict[str, int]
    label_names: tuple[str, ...]
    passages: int
    passage_length: int
    train_states: int
    choose_states: int
    plane: Plane
    epochs: int
    best_epoch: int
    seconds: float
    seed: int
    date: str
    command: str
    torch: str
    device: str
    states: str = "tokens"
    pooling: Pooling = "tokens"
    precision: str = "float32"
    elbo_in_float32: float = 0.0
    held_out: Figures | None = None
    reference: str = ""
    format: int = FORMAT

    @property
    def name(self) -> str:
        """Model and layer, as a sentence names them."""
        of = {"tokens": "", "mean": " (mean)", "last": " (last token)"}[self.pooling]
        return f"layer {self.layer}{of} of {self.title}"

    @property
    def key(self) -> str:
        """What a space of this kind is called among those of all models."""
        pooling = "" if self.pooling == "tokens" else f"-{self.pooling}"
        return f"{self.model.replace('/', '--')}-{self.layer}{pooling}"


def decode(text: str) -> Card:
    """Read a card from JSON.

    Raises
    ------
    ValueError
        If it is none, or of a later format.
    """
    card = msgspec.json.decode(text, type=Card)  # msgspec.DecodeError is a ValueError
    if card.format != FORMAT:
        raise ValueError(f"it is of format {card.format}, this program reads {FORMAT}")
    if not (0 < card.latent < card.width and card.hidden > 0 and card.layer >= 0):
        raise ValueError("its card contradicts itself")
    return card


def encode(card: Card) -> str:
    """Write a card as JSON."""
    return msgspec.json.encode(card).decode()


def figures(card: Card) -> dict[str, object]:
    """Everything in a card by name on one level, held-out figures among the rest, Z as ``z``."""
    told: dict[str, object] = msgspec.to_builtins(card)
    measured = told.pop("held_out") or {}
    assert isinstance(measured, dict)
    return {**told, **card.settings, "z": card.latent, **measured}


def require(card: Card, info: ModelInfo, layer: int | None = None) -> None:
    """Check that a space is of this model, and of `layer` where one is given.

    The weights must be the same, not only the name: a model trained again under its old name has
    other states. Where either's fingerprint is unknown (a very large model) the name decides.

    Raises
    ------
    UserError
        If it is not, with the names of both.
    """
    wanted = info.layers if layer is None else layer
    same_weights = not (
        card.fingerprint and info.fingerprint and card.fingerprint != info.fingerprint
    )
    if card.model != info.name or card.width != info.width or not same_weights:
        retrained = card.model == info.name and card.width == info.width
        why = (
            f"it was trained for other weights of {info.title} than the ones that are loaded"
            if retrained
            else f"it was trained for {card.title} (width {card.width}), and the model is "
            f"{info.title} (width {info.width})"
        )
        raise UserError("Cannot use this latent space", why, "Train one for this model")
    if (layer is not None and card.layer != layer) or card.layer > info.layers:
        raise UserError(
            "Cannot use this latent space",
            f"it was trained for {card.name}, and the layer is {wanted} of {info.title}",
            f"Choose layer {card.layer}, or train one for layer {wanted}",
        )


def described(card: Card) -> str:
    """A card as Markdown, for whoever meets the file without the program."""
    held = card.held_out
    texts = ", ".join(f"{name} ({count:,})" for name, count in card.data.items())
    settings = ", ".join(f"{name} {value}" for name, value in card.settings.items())
    lines = [
        f"# Latent space of {card.states}, {card.name}",
        "",
        f"A variational autoencoder from {card.width} to {card.latent} dimensions over the "
        f"residual stream of `{card.model}` at depth {card.layer}, 0 being the input embeddings"
        + (f" (weights SHA-256 {card.fingerprint[:16]}…)." if card.fingerprint else "."),
        "",
        f"- Trained on {card.train_states:,} states; the best of {card.epochs} epochs "
        f"({card.best_epoch}) was chosen by {card.choose_states:,} others. {_held_out_as(card)}",
        f"- States of each text: {texts}.",
        f"- Settings: {settings}.",
        f"- Made on {card.date} in {card.seconds / 60:.0f} minutes on {card.device} with torch "
        f"{card.torch}: `{card.command}`.",
        f"- Its picture shows the {card.plane}.",
        *_reference(card),
        f"- Weights are kept as {card.precision} (ELBO before rounding: "
        f"{card.elbo_in_float32:.2f}). The likelihood is Gaussian with one learned variance.",
        "",
    ]
    if held is None:
        return "\n".join(lines)
    each = ", ".join(f"{kl:.2f}" for kl in held.kl_per_dim)
    rows = [
        ("ELBO, nats a standardised state", f"{held.elbo:.2f}"),
        ("ELBO, nats a state in the model's units", f"{held.elbo_of_states:.2f}"),
        ("reconstruction E ln p(x∣z), nats", f"{held.reconstruction:.2f}"),
        ("KL, nats", f"{held.kl:.2f}"),
        ("KL of each dimension, nats", each),
        ("active units", f"{held.active_units} of {card.latent}"),
        (
            "mutual information, nats",
            f"{held.mutual_information:.2f} (no more than {held.mutual_information_limit:.2f} can "
            "be seen with so many states)",
        ),
        (
            f"explained variance; PCA of {card.latent}",
            f"{held.explained_variance:.4f}; {held.pca_explained_variance:.4f}",
        ),
        (
            f"the same without first tokens; PCA of {card.latent}",
            f"{held.ordinary_explained_variance:.4f}; {held.pca_ordinary_explained_variance:.4f}",
        ),
        (
            "the picture's two dimensions alone; PCA of 2",
            f"{held.picture_explained_variance:.4f}; {held.pca_picture_explained_variance:.4f}",
        ),
        (
            "trustworthiness of the picture; PCA of 2",
            f"{held.trustworthiness:.3f}; {held.pca_trustworthiness:.3f}",
        ),
    ]
    if held.knn_accuracy is not None and held.pca_knn_accuracy is not None:
        told = f"{held.knn_accuracy:.3f}; {held.pca_knn_accuracy:.3f}"
        rows.append(("label accuracy of ten nearest in the picture; PCA of 2", told))
    lines += [f"| on {held.held_out_states:,} held-out states | measured |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([*lines, ""])


def _reference(card: Card) -> list[str]:
    if not card.reference:
        return []
    return [
        f"- The {card.states} it is shown against, of texts it was not trained on, were collected "
        f"afterwards: `{card.reference}`."
    ]


def _held_out_as(card: Card) -> str:
    if card.pooling == "tokens":
        return f"Passages of {card.passage_length} tokens are held out whole."
    return "Ten neighbouring sentences are held out together."
