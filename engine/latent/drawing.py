"""Drawing a picture of states, from texts to the picture: the job behind the window's panel.

``drawing_job(loaded, order)`` is a generator of progress, to be driven like any job. Its steps are
short, so that typing stays live; closing it cancels, a process that fits UMAP or t-SNE with it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.errors import UserError
from engine.latent.captions import caption_steps, sentence_steps
from engine.latent.corpus import Passages, Pooling, States, collect_steps
from engine.latent.corpus_cache import states_steps
from engine.latent.corpus_memory import Work
from engine.latent.corpus_texts import Text, named, read_corpus
from engine.latent.pictured import PictureResult
from engine.latent.pictures import picture_steps, pictures_of
from engine.latent.projections.spec import (
    ProjectionSpec,
    Settings,
    check,
    choices,
    projection_specs,
)
from engine.latent.quality import some
from engine.latent.train import SMOOTH
from engine.models.loader import Loaded
from engine.types import Progress

COPIES = 6.0
"""How many times a picture holds the states that it draws: chosen, standardised, fitted, …

Measured with 60,000 states of 576 numbers: 5.1 for PCA, 5.7 for two dimensions.
"""

CONTEXT = "context"
"""The label of the states of a text that was given by itself."""

Values = Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What picture to draw.

    Parameters
    ----------
    name : str
        What it is called from then on, see `PlaceQuery` and `PictureQuery`.
    projection : str
        The key of one of `engine.latent.projections`.
    settings : mapping
        Fields of its `Settings`; where those want a group of points, a label.
    layer : int
        0 to L.
    states : Pooling
        ``tokens``, or sentences as the ``mean`` of their tokens' states or the ``last`` one's.
    corpus, label : paths and str
        What to read and which column of tables is the label; see `corpus_texts.read_corpus`.
    text : str
        A text of its own, read where there is no `corpus`.
    most : int
        About how many tokens are read, or at most how many sentences; 0 for all.
    first : bool
        Whether tokens that begin a passage are drawn too. In a causal model they have seen nothing
        but themselves, and most models put a state there that is hundreds of times as long as any
        other.
    forget : strings
        Pictures that are given up once this one stands.
    patience : float
        Seconds a step of collecting may take, about.
    """

    name: str
    projection: str
    layer: int
    settings: Values = field(default_factory=dict)
    states: Pooling = "tokens"
    corpus: tuple[Path, ...] = ()
    label: str | None = None
    text: str = ""
    most: int = 0
    first: bool = True
    forget: tuple[str, ...] = ()
    patience: float = SMOOTH


def drawing_job(loaded: Loaded, order: Drawing) -> Generator[Progress, None, PictureResult]:
    """Collect states, fit a picture to them, measure and keep it.

    What can be refused without reading a text is refused at once.

    Raises
    ------
    UserError
        If a setting is out of bounds, the texts come to nothing or too little, there is no such
        label, or a latent space is wanted of a layer that has none.
    """
    spec = projection_specs()[order.projection]
    what = f"Cannot draw {spec.title}"
    check(_settings(spec, order.settings, None), spec.title)
    if spec.of == "μ" and order.layer not in loaded.spaces:
        why = f"there is no latent space for layer {order.layer} of {loaded.info.title}"
        raise UserError(what, why, "Train one, or choose a layer that has one")
    yield Progress("Reading the texts", 0.0)
    given = () if order.corpus else (Text(CONTEXT, order.text),)
    texts: tuple[Text, ...] = given + read_corpus(order.corpus, order.label)
    states = yield from _states(loaded, order, texts)
    there = yield from sentence_steps(texts)
    captions = yield from caption_steps(loaded, states, texts)
    source = _told(order, states, len(there))
    begins = states.positions == 0
    if order.states == "tokens" and not order.first and begins.any():
        captions = tuple(one for one, begun in zip(captions, begins, strict=True) if not begun)
        states = states.rows(~begins)
        source += f" · {int(begins.sum()):,} first tokens left out"
    settings = _settings(spec, order.settings, states)
    result = yield from picture_steps(
        loaded, states, order.projection, settings, order.name, captions, source
    )
    for name in order.forget:
        pictures_of(loaded).pop(name, None)
    return result


def _states(
    loaded: Loaded, order: Drawing, texts: Sequence[Text]
) -> Generator[Progress, None, States]:
    longest = max((len(text.text) for text in texts), default=0)
    # No token is less than a character, so that this is more than there are.
    every = max(8, longest) * max(1, len(texts))
    work = Work(COPIES, int(order.settings.get("points", 0)))
    if not order.corpus:
        # What the window shows of the context is one passage.
        whole = Passages(order.most or every, loaded.info.max_tokens, order.most or every)
        found = yield from collect_steps(
            loaded, texts, [order.layer], whole, order.states, order.patience, work
        )
        return found[order.layer]
    cutting = Passages(
        tokens=order.most or every, sentences=order.most or every * max(1, len(named(texts)))
    )
    return (
        yield from states_steps(
            loaded,
            texts,
            order.layer,
            cutting,
            pooling=order.states,
            patience=order.patience,
            work=work,
        )
    )


def _told(order: Drawing, states: States, there: int) -> str:
    """What the states are from, in words."""
    names = [path.name for path in order.corpus] or [CONTEXT]
    where = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    read = len(np.unique(states.marks))
    counted = f"all {there:,}" if read >= there else f"{read:,} of {there:,}"
    return f"{where}, {counted} sentence{'s' * (there != 1)}"


def _settings(spec: ProjectionSpec, given: Values, states: States | None) -> Settings:
    """The settings of a projection; without `states` groups stay empty.

    Raises
    ------
    UserError
        If a label is not one of the states'.
    """
    found: dict[str, object] = dict(given)
    groups = [one for one in choices(spec.settings) if isinstance(one.default, tuple)]
    for one in groups:
        found.pop(one.name, None)
    made = spec.settings(**found)  # type: ignore[arg-type]
    if states is None or not groups:
        return made
    rows = some(len(states), made.points or len(states), made.seed)  # as the picture draws them
    for one in groups:
        label = str(given.get(one.name, "")).strip()
        if label not in states.names:
            raise UserError(
                f"Cannot draw {spec.title}",
                f"no state has the label {label}" if label else "a direction wants four labels",
                f"Choose from: {', '.join(states.names)}",
            )
        there = np.flatnonzero(states.labels[rows] == states.names.index(label))
        found[one.name] = tuple(there.tolist())
    return spec.settings(**found)  # type: ignore[arg-type]
