"""The record that every exported file carries: what made it, from what, and when."""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import TypeAlias

import numpy as np

from engine.comparison import CompareResult
from engine.latent.pictured import PictureResult
from engine.paths import ROOT
from engine.types import (
    AttentionResult,
    EmbeddingResult,
    GatesResult,
    LatentResult,
    ModelInfo,
    MosaicResult,
    NextResult,
    Result,
    Snapshot,
)
from gui.figures.spec import FigureOptions, FigureSpec
from gui.precision import EXACT, sentence

PROGRAM = "Contextscope"

Record: TypeAlias = Mapping[str, object]


@cache
def version() -> str:
    """The program's version, also where it runs from a checkout that was never installed."""
    try:
        return metadata.version(PROGRAM.lower())
    except metadata.PackageNotFoundError:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])


def record(snapshot: Snapshot, figure: FigureSpec, options: FigureOptions) -> Record:
    """Say what is needed to make the file again.

    What does not apply to a view is left out: the layer of the tokens, the head of an embedding.
    """
    if figure.made_of is not None:
        date = now().isoformat(timespec="seconds")
        known: dict[str, object] = {"program": PROGRAM, "version": version(), "view": figure.key}
        return known | dict(figure.made_of(options)) | {"date": date}
    model, request = snapshot.model, snapshot.request
    made: dict[str, object] = {
        "program": PROGRAM,
        "version": version(),
        "view": figure.key,
        "model": model.name,
        "model_title": model.title,
        "model_source": model.source,
        "model_sha256": model.fingerprint,
        "device": model.device,
        "dtype": model.dtype,
        "text": request.text,
        "token_count": len(snapshot.tokens),
    }
    if model.dtype != EXACT:
        found = model.precision
        made["dtype_error"] = "not measured" if found is None else str(found.error)
        if found is not None and math.isfinite(found.error):
            made["dtype_error"] = found.error
        made["dtype_note"] = sentence(model)
    if request.chat:
        made["chat_template"] = True
    if model.kind == "encoder-decoder":
        made["target"] = request.text if request.target is None else request.target
    asked = figure.queries(options, model)
    result = snapshot.results.get(asked[0]) if asked else None
    if result is not None:
        made |= _of(result, options)
    if snapshot.notice:
        made["notice"] = snapshot.notice
    made["date"] = now().isoformat(timespec="seconds")
    return {key: value for key, value in made.items() if value not in ("", None)}


def now() -> datetime:
    """The present, or the moment that reproducible builds name in ``SOURCE_DATE_EPOCH``."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)


def _of(result: Result, options: FigureOptions) -> dict[str, object]:
    """What only the view at hand has: its layer, head, stack, scaling and latent space."""
    match result:
        case AttentionResult(layer=layer, stack=stack):
            head = "all" if options.head is None else options.head
            return {"layer": layer, "head": head, "stack": stack, "scaling": options.scaling}
        case CompareResult(layer=layer, head=head, one=one, other=other):
            asked = {"context_a": one.context, "context_b": other.context}
            return {"layer": layer, "head": head, **asked, **_second(options.second)}
        case MosaicResult(stack=stack):
            return {"stack": stack, "scaling": options.scaling}
        case EmbeddingResult(layer=layer, stack=stack):
            return {"layer": layer, "stack": stack}
        case GatesResult(layer=layer):
            return {"layer": layer}
        case LatentResult(layer=layer, mu=mu, card=card):
            # A card's "fingerprint" is its model's; its own file's hash is "sha256".
            own = {f"latent_{key}": card.get(key) for key in ("sha256", "date", "seed")}
            return {"layer": layer, "latent_z": mu.shape[1], **own}
        case PictureResult():
            given = {
                one.name: getattr(result.settings, one.name) for one in fields(result.settings)
            }
            settings = {
                # A group of points may be most of them.
                f"projection_{name}": f"{len(value)} points" if isinstance(value, tuple) else value
                for name, value in given.items()
            }
            told = {"layer": result.layer, "states": result.states, "states_of": result.source}
            drawn = {"states_drawn": len(result.xy), "states_there": result.of}
            return {**told, **drawn, "projection": result.projection, **settings}
        case NextResult(temperature=temperature):
            return {"surprise_unit": "bit", "temperature": temperature}
    return {}


def _second(model: ModelInfo | None) -> dict[str, object]:
    """What is to be known of the other model of a comparison."""
    if model is None:
        return {}
    return {
        "model_b": model.name,
        "model_b_title": model.title,
        "model_b_source": model.source,
        "model_b_sha256": model.fingerprint,
        "model_b_dtype": model.dtype,
    }


_UNFIT = re.compile("[\ud800-\udfff\ufffe\uffff\x7f-\x9f]")


def json_text(value: object) -> str:
    """A record, or one of its entries, as one line of JSON that any file can hold.

    Characters that XML or UTF-8 do not allow are written as JSON's own escapes, so that reading
    the JSON brings them back.
    """
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    return dict(value) if isinstance(value, Mapping) else str(value)


def title(meta: Record) -> str:
    """One line that names the file's content."""
    models = (meta.get("model_title", meta.get("model", "")), meta.get("model_b_title", ""))
    parts = [*map(str, models), str(meta.get("view", ""))]
    parts += [f"{key} {meta[key]}" for key in ("layer", "head") if key in meta]
    line = " · ".join(part for part in parts if part)
    return _UNFIT.sub("�", re.sub(r"[\x00-\x1f]", " ", line))


def date(meta: Record) -> datetime | None:
    """The record's date, or None if it has none that can be read."""
    try:
        return datetime.fromisoformat(str(meta.get("date", "")))
    except ValueError:
        return None
