"""States kept on disk: collected once, read back as often as somebody trains on them.

They lie under ``cache_dir()/states``. Together they take no more than `CAP`; whichever were used
longest ago go first.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from pathlib import Path

from engine.latent.corpus import (
    Passages,
    Pooling,
    States,
    Text,
    collect_steps,
    collection_key,
    load_states,
    save_states,
)
from engine.latent.corpus_memory import NUMBER, Work, require_room
from engine.models.loader import Loaded
from engine.paths import cache_dir
from engine.types import Progress

_NUMBERED = 4 * 8  # bytes of a state's label, passage, position and id

CAP = 4 << 30
"""Bytes that all kept states may take together."""


def states_dir() -> Path:
    """Where collected states lie."""
    return cache_dir() / "states"


def states_steps(
    loaded: Loaded,
    texts: Sequence[Text],
    layer: int,
    cutting: Passages,
    kept: Path | None = None,
    pooling: Pooling = "tokens",
    patience: float = 0.25,
    work: Work = Work(),  # noqa: B008 - it is frozen
) -> Generator[Progress, None, States]:
    """The states of one layer, collected once and from then on read from the folder `kept`.

    See `corpus.collect_steps` for what is collected, and for the errors.
    """
    folder = states_dir() if kept is None else kept
    info = loaded.info
    key = collection_key(info.fingerprint or info.name, texts, cutting, pooling)
    name = info.name.replace("/", "--")[-60:]
    path = folder / f"{name}-{key}-{layer}.safetensors"
    if path.is_file():
        count = path.stat().st_size // (info.width * NUMBER + _NUMBERED)
        require_room(count, info.width, work, pooling)
    states = load_states(path)
    if states is not None:
        os.utime(path)  # it was used now
        return states
    collected = yield from collect_steps(loaded, texts, [layer], cutting, pooling, patience, work)
    yield Progress("Keeping the states", 1.0)
    save_states(path, collected[layer])
    trim(folder, CAP, path)
    return collected[layer]


def trim(folder: Path, cap: int, newest: Path | None = None) -> None:
    """Delete the states in `folder` that were used longest ago, until `cap` bytes are left.

    `newest` stays, however large it is.
    """
    files = [(p.stat().st_mtime, p.stat().st_size, p) for p in folder.glob("*.safetensors")]
    over = sum(size for _, size, _ in files) - cap
    for _, size, path in sorted(files):
        if over <= 0:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            over -= size
