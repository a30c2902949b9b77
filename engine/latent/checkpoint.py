"""A training's last epoch on disk, so that a program that was killed goes on from there.

One safetensors file holds all of it: weights, AdamW's moments, states of the random number
generators, and as JSON in its metadata the curves and what it is a training of. The same JSON lies
beside it, for whoever wants to draw the curves. Neither is run when it is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.files import replacing
from engine.latent.space import CHECKPOINT, SUFFIX
from engine.latent.tensors import write
from engine.latent.training import Epoch, Moment, Settings

FORMAT = 1


class Told(msgspec.Struct, frozen=True):
    """What a checkpoint says of itself. `states` is a digest of the states that are trained on."""

    number: int
    best: int
    settings: Settings
    states: str
    epochs: list[Epoch]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint of one training: a `training.Keeper`.

    Parameters
    ----------
    path : Path
        Its file; see `beside`.
    settings, states : Settings, str
        Of the training at hand. One that is of other settings or states is refused.
    """

    path: Path
    settings: Settings
    states: str

    def load(self) -> Moment | None:
        """What was kept, or None where there is nothing.

        Raises
        ------
        UserError
            If the file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        what, do = f"Cannot go on from {self.path.name}", "Train anew, without resuming"
        try:
            with safe_open(self.path, framework="pt") as file:
                told = msgspec.json.decode((file.metadata() or {})["told"], type=Told)
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            moment = _moment(told, found)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UserError(what, "the file is damaged or cut short", do) from error
        if told.format != FORMAT:
            raise UserError(what, "another version of the program wrote it", do)
        if told.settings != self.settings:
            differing = _differing(told.settings, self.settings)
            raise UserError(
                what, f"it was trained with {differing}", f"Use the same, or {_low(do)}"
            )
        if told.states != self.states:
            raise UserError(what, "it was trained on other states", do)
        return moment

    def save(self, moment: Moment) -> None:
        """Write one in place of the last, whole or not at all."""
        told = Told(moment.number, moment.best, self.settings, self.states, moment.epochs)
        tensors = {
            **_named("vae", moment.vae),
            **_named("kept", moment.kept),
            "log_noise": moment.log_noise,
            "order": moment.order,
            "noise": moment.noise,
        }
        for index, moments in moment.optimizer.items():
            tensors |= _named(f"optimizer.{index}", moments)
        text = msgspec.json.encode(told)
        # Copies: a tensor of `vae` that no epoch has changed yet may be the one in `kept`.
        kept = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        write(self.path, kept, {"told": text.decode()})
        with replacing(self.path.with_suffix(".json")) as beside:
            beside.write_bytes(msgspec.json.format(text, indent=1))

    def remove(self) -> None:
        """Forget it: the training came to its end."""
        for path in (self.path, self.path.with_suffix(".json")):
            path.unlink(missing_ok=True)


def beside(out: Path) -> Path:
    """Where the checkpoint of a space to be written to `out` lies."""
    return out.with_name(out.name.removesuffix(SUFFIX) + CHECKPOINT)


def digest(states: Tensor, **others: object) -> str:
    """A name for `states` (N, D) and whatever else decides what is trained on."""
    found = hashlib.sha256(states.contiguous().view(torch.uint8).numpy().data)
    found.update(repr(sorted(others.items())).encode())
    return found.hexdigest()


def _moment(told: Told, found: dict[str, Tensor]) -> Moment:
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            optimizer.setdefault(int(index), {})[key] = tensor
    return Moment(
        number=told.number,
        best=told.best,
        epochs=told.epochs,
        vae=_under("vae", found),
        kept=_under("kept", found),
        log_noise=found["log_noise"],
        optimizer=optimizer,
        order=found["order"],
        noise=found["noise"],
    )


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _differing(theirs: Settings, ours: Settings) -> str:
    old: dict[str, Any] = msgspec.to_builtins(theirs)
    new: dict[str, Any] = msgspec.to_builtins(ours)
    return ", ".join(
        f"{name} {old[name]}, not {new[name]}" for name in old if old[name] != new[name]
    )


def _low(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
