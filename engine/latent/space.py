"""A trained latent space: the VAE, its picture, the states it is shown against, and its card.

One safetensors file: tensors, and the card as JSON in its metadata. Nothing in it is run.

Shape letters: T tokens, D model width, Z latent width, N reference states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.latent import card as cards
from engine.latent import planes
from engine.latent.bent import Bent, kept_on_disk
from engine.latent.card import Card
from engine.latent.pca import Pca
from engine.latent.planes import Picture
from engine.latent.tensors import write
from engine.latent.vae import VAE
from engine.types import Floats, LatentPlane

SUFFIX = ".safetensors"
CHECKPOINT = ".checkpoint.safetensors"
"""What the file of a training that is not over ends with; see engine/latent/checkpoint.py."""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A variational autoencoder over the states of one layer of one model.

    Attributes
    ----------
    vae : VAE
        float32, in evaluation mode, on the device of the states it is given.
    origin, axes : Tensor
        (Z,) and (Z, 2): the picture of z is ``(z − origin) @ axes``.
    reference : (N, 2) float32, read-only
        Held-out states' μ in the picture.
    labels : (N,) int64, read-only
        Index `label_names`.
    pca : Pca
        The first Z principal components of the standardised states that were trained on: what the
        space is to be measured beside.
    seen : (M,) int64, read-only
        Marks of the sentences that were trained on or chosen by (`corpus_sentences.marks`): what
        it is not to be measured with.
    points : (N, Z) float32, read-only, or None
        The reference's μ, rounded to half precision, of which other planes can be drawn; None in
        files that were written before they were kept.
    texts : N strings or none
        What stood where each reference state is from; see `corpus_excerpts`.
    """

    vae: VAE
    origin: Tensor
    axes: Tensor
    reference: Floats
    labels: NDArray[np.int64]
    pca: Pca
    card: Card
    seen: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    points: Floats | None = None
    texts: tuple[str, ...] = ()
    figures: Mapping[str, object] = field(init=False)
    _pictures: dict[LatentPlane, Picture | Bent] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.reference, self.labels, self.seen, self.points):
            if array is not None:
                array.setflags(write=False)
        self.vae.eval().requires_grad_(False)
        object.__setattr__(self, "figures", MappingProxyType(cards.figures(self.card)))

    @property
    def label_names(self) -> tuple[str, ...]:
        """What the labels are called."""
        return self.card.label_names

    def encode(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """μ and ln σ², each (T, Z), of states (T, D) in the model's units."""
        with torch.no_grad():
            return self.vae.posterior(self.vae.standard(states))

    def decode(self, z: Tensor) -> Tensor:
        """States (T, D) in the model's units that points (T, Z) decode to."""
        with torch.no_grad():
            states: Tensor = self.vae.standard.inverse(self.vae.mean(z))
            return states

    def project(self, z: Tensor) -> Tensor:
        """Points (T, Z) in the space's own picture, (T, 2)."""
        return self._own.project(z)

    def covariance(self, logvar: Tensor) -> Tensor:
        """Covariance (T, 2, 2) in the space's own picture of posteriors with ln σ² (T, Z)."""
        return self._own.covariance(logvar)

    @property
    def _own(self) -> Picture:
        return Picture("own", self.origin, self.axes, self.reference)

    def picture(self, plane: LatentPlane = "own") -> Picture | Bent:
        """The picture of a plane, made once; the space's own where it has no such plane.

        Other planes than its own need the reference's μ (`points`), and that of UMAP must have been
        fitted, now or by an earlier run of the program (`bent.bent_steps`).
        """
        known = self._pictures.get(plane)
        if known is None:
            if plane == "umap":
                known = None if self.points is None else kept_on_disk(self.points)
            else:
                known = planes.picture_of(plane, self.points, self.origin)
            known = known or (self._own if plane == "own" else self.picture())
            self._pictures[plane] = known
        return known

    def keep_picture(self, picture: Bent) -> None:
        """Show `picture` from now on where its plane is wanted."""
        self._pictures[picture.plane] = picture

    def against(
        self,
        states: Tensor,
        labels: NDArray[np.int64],
        names: tuple[str, ...],
        texts: tuple[str, ...] = (),
    ) -> Space:
        """The same space, shown against `states` (N, D) with `labels` (N,) that index `names`.

        Its picture does not change with them. `texts` are N excerpts of what they are from.
        """
        mu, _ = self.encode(states)
        return replace(
            self,
            reference=_halved((mu - self.origin) @ self.axes),
            labels=labels.astype(np.int64),
            points=_halved(mu),
            texts=texts,
            card=msgspec.structs.replace(self.card, label_names=names),
        )

    def save(self, path: Path) -> None:
        """Write the space to one file, whole or not at all.

        Matrices are kept in half precision where the card says so; `rounded` makes such a space.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        half = self.card.precision == "float16"
        tensors: dict[str, Tensor] = {
            f"vae.{name}": _kept(tensor, half) for name, tensor in self.vae.state_dict().items()
        }
        tensors["picture.origin"] = _kept(self.origin, False)
        tensors["picture.axes"] = _kept(self.axes, False)
        tensors["pca.mean"] = _kept(self.pca.mean, False)
        tensors["pca.axes"] = _kept(self.pca.axes, False)
        tensors["reference.xy"] = torch.from_numpy(self.reference.astype(np.float16))
        tensors["reference.labels"] = torch.from_numpy(self.labels.astype(np.int16))
        tensors["seen"] = torch.from_numpy(np.unique(self.seen))
        if self.points is not None:
            tensors["reference.mu"] = torch.from_numpy(self.points.astype(np.float16))
        if self.texts:
            tensors["reference.texts"] = _written(self.texts)
        write(path, tensors, {"card": cards.encode(self.card)})

    def rounded(self) -> Space:
        """The space as it is after its matrices were kept in half precision."""
        vae = VAE(self.vae.width, self.vae.latent, self.vae.hidden)
        state = self.vae.state_dict()
        vae.load_state_dict({name: _kept(tensor, True).float() for name, tensor in state.items()})
        return replace(self, vae=vae, card=msgspec.structs.replace(self.card, precision="float16"))


def make(
    vae: VAE,
    pca: Pca,
    states: Tensor,
    labels: NDArray[np.int64],
    card: Card,
    texts: tuple[str, ...] = (),
) -> Space:
    """A space whose reference cloud are `states` (N, D), labelled with `labels` (N,).

    `texts` are N excerpts of what they are from, or none.
    """
    with torch.no_grad():
        mu, _ = vae.posterior(vae.standard(states))
    origin, axes = planes.plane_of(mu, card.plane)
    xy, points = _halved((mu - origin) @ axes), _halved(mu)
    kinds = labels.astype(np.int64)
    return Space(vae, origin, axes, xy, kinds, pca, card, points=points, texts=texts)


def read_card(path: Path) -> Card:
    """The card of a space's file. Reads the file's header only.

    Raises
    ------
    UserError
        If it is not the file of a space.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return cards.decode((file.metadata() or {})["card"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def load(path: Path, device: torch.device | str = "cpu") -> Space:
    """Read a space onto a device.

    Raises
    ------
    UserError
        If the file is damaged or not that of a space.
    """
    card = read_card(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        vae = VAE(card.width, card.latent, card.hidden)
        state = {
            name.removeprefix("vae."): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith("vae.")
        }
        vae.load_state_dict(state)
        origin, axes = tensors["picture.origin"].float(), tensors["picture.axes"].float()
        pca = Pca(tensors["pca.mean"].float(), tensors["pca.axes"].float())
        xy = tensors["reference.xy"].float()
        labels = tensors["reference.labels"].long()
        seen = tensors.get("seen", torch.zeros(0)).long()
        points = tensors["reference.mu"].float() if "reference.mu" in tensors else None
        kept = xy.new_zeros(len(xy), card.latent) if points is None else points
        texts = _read(tensors["reference.texts"]) if "reference.texts" in tensors else ()
        if texts and len(texts) != len(labels):
            raise ValueError("its texts do not fit its reference states")
        picture = (origin, axes, xy, labels, kept)
        _check(card, pca, picture, [*state.values(), origin, axes, xy, kept])
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return Space(
        vae.to(device),
        origin.to(device),
        axes.to(device),
        xy.numpy(),
        labels.numpy(),
        Pca(pca.mean.to(device), pca.axes.to(device)),
        card,
        seen.numpy(),
        None if points is None else points.numpy(),
        texts,
    )


def _check(card: Card, pca: Pca, picture: tuple[Tensor, ...], numbers: Sequence[Tensor]) -> None:
    origin, axes, xy, labels, points = picture
    if pca.mean.shape != (card.width,) or pca.axes.shape != (card.width, card.latent):
        raise ValueError("its principal components do not fit its width")
    count = len(labels)
    wanted: tuple[Any, ...] = (
        (card.latent,),
        (card.latent, 2),
        (count, 2),
        (len(xy),),
        (count, card.latent),
    )
    if tuple(tuple(tensor.shape) for tensor in (origin, axes, xy, labels, points)) != wanted:
        raise ValueError("its tensors do not fit each other")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in numbers):
        raise ValueError("some of its numbers are not numbers")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(card.label_names):
        raise ValueError("its labels have no names")


def _halved(tensor: Tensor) -> Floats:
    """The numbers as they will be on disk."""
    array: Floats = tensor.cpu().numpy().astype(np.float16).astype(np.float32)
    return array


def _written(texts: Sequence[str]) -> Tensor:
    """Texts as bytes: UTF-8, a line each."""
    lines = "\n".join(" ".join(text.split("\n")) for text in texts)
    return torch.frombuffer(bytearray(lines.encode("utf-8", "replace")), dtype=torch.uint8)


def _read(lines: Tensor) -> tuple[str, ...]:
    try:
        return tuple(bytes(lines.byte().numpy()).decode("utf-8").split("\n"))
    except UnicodeDecodeError as error:
        raise ValueError("its texts are not UTF-8") from error


def _kept(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.half() if half and tensor.ndim == 2 else tensor.float()).contiguous()


def _damaged(path: Path, error: Exception) -> UserError:
    what = f"Cannot read the latent space {path.name}"
    if isinstance(error, OSError):
        return UserError(what, error.strerror or "there is no such file", "Choose another file")
    if isinstance(error, ValueError) and not isinstance(error, msgspec.DecodeError):
        return UserError(what, str(error), "Train it again, or choose another file")
    why = "the file is damaged, cut short or not that of a latent space"
    return UserError(what, why, "Train it again, or choose another file")
