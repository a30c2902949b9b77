"""Finding the latent spaces that belong to a model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.errors import UserError
from engine.latent.card import Card, require
from engine.latent.space import CHECKPOINT, SUFFIX, Space, load, read_card
from engine.paths import RESOURCES, cache_dir
from engine.types import ModelInfo, Pooling

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A space's file and its card. `shipped` with the program, or made by the user."""

    path: Path
    card: Card
    shipped: bool

    @property
    def name(self) -> str:
        """What it goes by on the command line."""
        return self.path.name.removesuffix(SUFFIX)


def folders() -> tuple[Path, ...]:
    """Where spaces lie: those that come with the program, then the user's own."""
    return RESOURCES / "latent", cache_dir() / "latent"


def own_folder() -> Path:
    """Where the user's own spaces lie, which the window finds too."""
    return folders()[1]


def found() -> tuple[Found, ...]:
    """Every space there is, the shipped ones first. What is damaged is passed over and logged."""
    there = []
    for folder in folders():
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            if path.name.endswith(CHECKPOINT):
                continue
            try:
                there.append(Found(path, read_card(path), folder == folders()[0]))
            except UserError as error:
                _log.warning("%s is passed over. %s", path.name, error)
    return tuple(there)


def named(name: str) -> Path:
    """The file of a space that is named by its path or by what `found` calls it.

    Raises
    ------
    UserError
        If there is none.
    """
    path = Path(name)
    if path.suffix == SUFFIX or path.is_file():
        return path  # whether it is there and whole is said by whoever reads it
    own = [one for one in found() if one.name == name]
    if not own:
        have = ", ".join(one.name for one in found()) or "none"
        raise UserError(
            f"Cannot find the latent space {name}",
            f"it is no file, and the ones there are go by other names ({have})",
            "Name one of them, or a file",
        )
    return own[-1].path


def sentence_spaces(info: ModelInfo, device: torch.device) -> dict[tuple[int, Pooling], Space]:
    """The spaces of a model's sentence states, by layer and pooling, on `device`.

    Chosen as `spaces_for` does.
    """
    return _loaded(info, device, lambda card: card.states == "sentences")


def spaces_for(info: ModelInfo, device: torch.device) -> dict[int, Space]:
    """The spaces of a model's token states, by layer, on `device`.

    Of two for one layer the user's own is taken, and of those the last by name. What is damaged or
    was trained for other weights is passed over and logged: no space keeps a model from opening.
    """
    chosen = _loaded(info, device, lambda card: card.states == "tokens")
    return {layer: space for (layer, _), space in sorted(chosen.items())}


def _loaded(
    info: ModelInfo, device: torch.device, wanted: Callable[[Card], bool]
) -> dict[tuple[int, Pooling], Space]:
    chosen: dict[tuple[int, Pooling], Path] = {}
    for one in found():
        if one.card.model == info.name and wanted(one.card):
            try:
                require(one.card, info)
            except UserError as error:
                _log.warning("%s is passed over. %s", one.path.name, error)
            else:
                chosen[one.card.layer, one.card.pooling] = one.path
    spaces = {}
    for key, path in sorted(chosen.items()):
        try:
            spaces[key] = load(path, device)
        except UserError as error:
            _log.warning("%s is passed over. %s", path.name, error)
    return spaces
