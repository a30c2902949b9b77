"""Fitting UMAP and t-SNE in a process of their own.

Each is one long call into compiled code that nothing can interrupt, and numba, which both or one of
them bring along, takes seconds to import. A process can be ended at any moment, and what it
imported goes with it. Run as ``python -m engine.latent.elsewhere METHOD FOLDER SETTINGS``.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.errors import UserError
from engine.latent.placing import principal_steps
from engine.models.sources.process import Line, end_with_parent, run_module
from engine.types import Floats, Progress

_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
# One thread: the window comes first, and the same seed then gives the same picture.


def fit_elsewhere(
    method: str, title: str, x: Floats, keep: int, settings: dict[str, float | int | str]
) -> Generator[Progress, None, tuple[Floats, Floats, Callable[[Floats], Floats]]]:
    """Fit `x` (N, F), or its first `keep` principal components, in a process.

    Returns
    -------
    kept, xy : ndarray
        (N, R) what was fitted, and (N, 2) where it was drawn.
    reduce : callable
        From features (n, F) to what is kept of them.

    Raises
    ------
    UserError
        If it fails.
    """

    def reduce(rows: Floats) -> Floats:
        return rows if axes is None else ((rows - mean) @ axes).astype(np.float32)

    mean, axes = np.zeros(x.shape[1], dtype=np.float32), None
    if 0 < keep < x.shape[1]:
        mean, axes = yield from principal_steps(x, keep)
    kept = np.ascontiguousarray(reduce(x), dtype=np.float32)
    with tempfile.TemporaryDirectory(prefix="contextscope-", ignore_cleanup_errors=True) as folder:
        np.save(Path(folder, "x.npy"), kept, allow_pickle=False)
        args = [method, folder, msgspec.json.encode(settings).decode()]
        first = f"{title}: starting"
        yield from run_module(
            "engine.latent.elsewhere", args, f"Cannot draw {title}", first, _ALONE
        )
        xy = np.load(Path(folder, "xy.npy"), allow_pickle=False).astype(np.float32)
    if xy.shape != (len(x), 2) or not np.isfinite(xy).all():
        why = "its places are not numbers"
        raise UserError(f"Cannot draw {title}", why, "Choose other settings")
    return kept, xy, reduce


def umap(x: Floats, settings: dict[str, Any]) -> Any:
    """Places (N, 2) by umap-learn."""
    Line(f"UMAP: preparing {len(x):,} points", 0.02).say()
    _keep_compiled()
    import umap as library  # type: ignore[import-untyped]

    Line(f"UMAP: neighbours of {len(x):,} points", 0.1).say()
    # Its bar is the only word it gives of how far it is.
    bar = {"file": _Bar(), "bar_format": "{n_fmt}/{total_fmt}", "mininterval": 0.1}
    fitted = library.UMAP(**settings, n_jobs=1, verbose=True, tqdm_kwds=bar)
    return fitted.fit_transform(x)


def _keep_compiled() -> None:
    """Let numba keep on disk what it compiles, beside the library or in the user's cache.

    UMAP leaves that out for what takes longest: ten seconds and more before the first step, each
    time. From the disk it is a fifth of a second, and the picture is the same.
    """
    import numba

    compile_now = numba.njit

    def compile_once(*args: Any, **options: Any) -> Any:
        return compile_now(*args, **{"cache": True, **options})

    numba.njit = compile_once


class _Bar:
    """Reads a progress bar as it is drawn."""

    def write(self, text: str) -> None:
        if found := re.search(r"(\d+)/(\d+)", text):
            done, total = map(int, found.groups())
            share = done / max(1, total)
            Line(f"UMAP: step {done} of {total}", 0.3 + 0.7 * share).say()

    def flush(self) -> None:
        """Nothing waits."""


def tsne(x: Floats, settings: dict[str, Any]) -> Any:
    """Places (N, 2) by openTSNE."""
    Line(f"t-SNE: neighbours of {len(x):,} points", 0.02).say()
    import openTSNE  # type: ignore[import-untyped]

    early, late = 250, 500
    done = 0

    def tell(_iteration: int, divergence: float, _xy: object) -> bool:
        nonlocal done
        done += 10
        said = f"t-SNE: step {done} of {early + late}, divergence {divergence:.3f}"
        Line(said, 0.1 + 0.9 * done / (early + late)).say()
        return False

    return openTSNE.TSNE(
        **settings,
        n_jobs=1,
        early_exaggeration_iter=early,
        n_iter=late,
        callbacks=tell,
        callbacks_every_iters=10,
    ).fit(x)


def main(args: list[str]) -> int:
    """Fit as the arguments say; tell how it went on standard output."""
    method, folder, settings = args[0], Path(args[1]), msgspec.json.decode(args[2])
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(5)  # the window comes first
    warnings.simplefilter("ignore")
    x = np.load(folder / "x.npy", allow_pickle=False)
    try:
        xy = np.asarray({"umap": umap, "tsne": tsne}[method](x, settings), dtype=np.float32)
    except (ValueError, RuntimeError, MemoryError) as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        Line(error=(f"Cannot draw {method}", why, "Choose other settings or fewer points")).say()
        return 1
    np.save(folder / "xy.npy", xy, allow_pickle=False)
    Line(result={}).say()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
