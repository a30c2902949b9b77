"""What the program remembers: typed, with defaults and a line of text each, in one file.

A file that cannot be read, or that a newer program wrote, is set aside and never overwritten; the
program goes on with defaults and says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.errors import UserError
from engine.files import replacing
from engine.paths import config_dir
from engine.types import Dtype
from gui.session import Scaling
from gui.theme import ThemeChoice

VERSION = 1

DEFAULT_TEXT = "The dog is running in the park."
DEFAULT_MODEL = "smollm2-135m-instruct"
RECENT_MODELS = 8
"""How many opened models are remembered."""


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything that outlives a run. Each field says what it is, in its own annotation."""

    version: Annotated[int, Meta(description="Layout of this file.")] = VERSION
    theme: Annotated[
        ThemeChoice, Meta(description="Colours: dark, light, or what the system asks for.")
    ] = "system"
    geometry: Annotated[
        str, Meta(description="Place and size of the window, as Qt packs them, in base64.")
    ] = ""
    layout: Annotated[
        str, Meta(description="Places of the panels, as Qt packs them, in base64.")
    ] = ""
    text: Annotated[str, Meta(description="The last context.")] = DEFAULT_TEXT
    model: Annotated[
        str, Meta(description="Model to open: a catalogue name, a hub id, a folder or a file.")
    ] = DEFAULT_MODEL
    device: Annotated[str, Meta(description="Where models run: auto, cpu, cuda or mps.")] = "auto"
    dtype: Annotated[
        Dtype, Meta(description="What models compute in; auto: what suits the device.")
    ] = "auto"
    chat: Annotated[
        bool, Meta(description="Whether the context is wrapped in the model's chat template.")
    ] = False
    layer: Annotated[
        int | None, Meta(description="Depth shown last; null: a third of the way up.")
    ] = None
    head: Annotated[int | None, Meta(description="Head shown last; null: the mean over heads.")] = (
        None
    )
    scaling: Annotated[Scaling, Meta(description="How attention weights become colours.")] = (
        "linear"
    )
    pinned_range: Annotated[
        tuple[int, int] | None,
        Meta(description="The pinned range, in characters of the text: first, after the last."),
    ] = None
    contexts: Annotated[
        tuple[str, str], Meta(description="The contexts that are compared, before the text.")
    ] = ("", "")
    recent: Annotated[list[str], Meta(description="Models opened before, the latest first.")] = (
        msgspec.field(default_factory=list)
    )
    token_limit: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Most tokens of a context to run; null: what suits the device."),
    ] = None

    def remember_model(self, spec: str) -> None:
        """Put `spec` at the head of the recent models."""
        self.recent = [spec, *(old for old in self.recent if old != spec)][:RECENT_MODELS]


def describe() -> dict[str, str]:
    """Say what each setting is, by name."""
    info = msgspec.inspect.type_info(Settings)
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError("Settings is no record")
    found = {}
    for field in info.fields:
        kind = field.type
        while isinstance(kind, msgspec.inspect.Metadata):
            found[field.name] = str((kind.extra_json_schema or {}).get("description", ""))
            kind = kind.type
    return found


class SettingsFile:
    """The file the settings are kept in.

    Parameters
    ----------
    path : Path, optional
        Where it is; the system's folder for settings if not given.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or config_dir() / "settings.json"
        self._on_disk: str | None = None

    def load(self) -> tuple[Settings, str]:
        """Read the settings, and a sentence for the user where something was wrong with them."""
        try:
            written = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Settings(), ""
        except (OSError, UnicodeDecodeError) as error:
            return Settings(), self._set_aside("could not be read", error)
        try:
            content = json.loads(written)
            version = content.get("version") if isinstance(content, dict) else None
            if isinstance(version, int) and version > VERSION:
                return Settings(), self._set_aside("were written by a newer version")
            settings = msgspec.convert(content, Settings)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            return Settings(), self._set_aside("are damaged", error)
        self._on_disk = written
        return settings, ""

    def save(self, settings: Settings) -> str:
        """Write the settings if they changed; a sentence where that was not possible."""
        # The standard library's writer, because a text may hold lone surrogates, which it escapes.
        written = json.dumps(msgspec.to_builtins(settings), indent=1)
        if written == self._on_disk:
            return ""
        try:
            with replacing(self.path) as beside:
                beside.write_text(written, encoding="ascii")
        except UserError as error:
            return error.sentence
        self._on_disk = written
        return ""

    def _set_aside(self, what: str, why: Exception | None = None) -> str:
        number = 1
        while (aside := self.path.with_name(f"settings.damaged-{number}.json")).exists():
            number += 1
        reason = f" ({_brief(why)})" if why else ""
        try:
            self.path.rename(aside)
        except OSError:
            return (
                f"The settings in {self.path} {what}{reason}, and the file could not be moved: "
                "the program starts with its defaults. Remove the file to be rid of this message."
            )
        return (
            f"The settings {what}{reason}: the program starts with its defaults. "
            f"The old file is kept as {aside}."
        )


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 120 else text[:117] + "…"
