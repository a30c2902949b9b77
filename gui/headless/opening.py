"""The model that the command line names, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.models.catalogue import default, resolve
from engine.models.store import acquire, open_spec
from gui.headless.console import finish

if TYPE_CHECKING:
    from engine.models.loader import Loaded


def opened(model: str | None, device: str, dtype: str = "auto") -> Loaded:
    """Bring a model to this machine if it is not there yet, and load it; the default if None.

    Raises
    ------
    UserError
        If there is no such model, or it cannot be loaded.
    """
    entry = resolve(model) if model is not None else default()
    source = open_spec(entry, finish(acquire(entry)))
    # Torch takes seconds to load; what is wrong with the model has been told by now.
    from engine.models.loader import load_steps

    return finish(load_steps(source, device, dtype))
