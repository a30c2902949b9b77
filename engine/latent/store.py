"""Finding the latent spaces that belong to a model."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from engine.errors import UserError
from engine.latent.card import require
from engine.latent.space import SUFFIX, Space, load, read_card
from engine.paths import RESOURCES, cache_dir
from engine.types import ModelInfo

_log = logging.getLogger(__name__)


def folders() -> tuple[Path, ...]:
    """Where spaces lie: those that come with the program, then the user's own."""
    return RESOURCES / "latent", cache_dir() / "latent"


def spaces_for(info: ModelInfo, device: torch.device) -> dict[int, Space]:
    """The spaces of a model's token states, by layer, on `device`.

    Of two for one layer the user's own is taken, and of those the last by name. What is damaged or
    was trained for other weights is passed over and logged: no space keeps a model from opening.
    """
    chosen: dict[int, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            try:
                card = read_card(path)
                if card.model == info.name and card.states == "tokens":
                    require(card, info)
                    chosen[card.layer] = path
            except UserError as error:
                _log.warning("%s is passed over. %s", path.name, error)
    spaces = {}
    for layer, path in sorted(chosen.items()):
        try:
            spaces[layer] = load(path, device)
        except UserError as error:
            _log.warning("%s is passed over. %s", path.name, error)
    return spaces
