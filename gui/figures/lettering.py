"""Token texts in a figure: which fonts can write them, how wide they are, what cannot be written.

DejaVu comes with matplotlib, so Latin, Greek, Cyrillic, Arabic and many signs look the same on
every machine. For other scripts an installed font is looked for; a character that no font has is
written as its code point, never as an empty box.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"

# In the order in which they are asked; what is not installed is passed over. Fonts of coloured
# bitmaps are left out: they cannot be drawn as outlines.
_FALLBACKS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Source Han Sans"),
    *("Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic"),
    *("Apple SD Gothic Neo", "WenQuanYi Micro Hei", "Droid Sans Fallback", "SimHei"),
    *("Noto Emoji", "Symbola", "Segoe UI Emoji", "Noto Sans Symbols", "Noto Sans Symbols2"),
    *("Segoe UI Symbol", "Nirmala UI", "Leelawadee UI", "Ebrima", "Arial Unicode MS"),
    *("Noto Sans", "Noto Sans Math"),
)

_JOINERS = "\u200c\u200d"


def label(text: str) -> str:
    """A token's text as it stands at an axis: blanks that can be seen, nothing unwritable."""
    shown = text.replace("\r", "").replace("\n", "⏎").replace("\t", "⇥")
    return drawable(shown.strip(" ") or "␣" * min(len(shown), 3) or "∅")


def drawable(text: str) -> str:
    """`text` with every character that cannot be written replaced by ``⟨U+XXXX⟩``.

    Control characters, bidirectional overrides and lone surrogates count as such: they would turn
    the rest of the line round, or make an SVG that no reader accepts. So do blanks that look like
    a space and are not.
    """
    return "".join(char if _writable(char) else f"⟨U+{ord(char):04X}⟩" for char in text)


@cache
def _writable(char: str) -> bool:
    category = unicodedata.category(char)
    if category in ("Cc", "Cs", "Cn", "Co") or (category == "Cf" and char not in _JOINERS):
        return False
    if category.startswith("Z") and char != " ":
        return False
    return family_for(char) is not None


@cache
def family_for(char: str) -> str | None:
    """The first of the known font families that has a glyph for `char`; None if none has."""
    script = unicodedata.name(char, "").split(" ", 1)[0].title()
    for family in (MONO, SANS, *_FALLBACKS, f"Noto Sans {script}", f"Noto Serif {script}"):
        if family in _installed() and _has(family, char):
            return family
    return None


@cache
def _installed() -> frozenset[str]:
    from matplotlib import font_manager

    return frozenset(entry.name for entry in font_manager.fontManager.ttflist)


def _path(family: str) -> Path:
    from matplotlib import font_manager

    return Path(font_manager.findfont(font_manager.FontProperties(family=[family])))


def _has(family: str, char: str) -> bool:
    from matplotlib import font_manager

    found = font_manager.findfont(font_manager.FontProperties(family=[family]))
    return bool(font_manager.get_font(found).get_char_index(ord(char)))


def families(texts: Iterable[str]) -> tuple[str, ...]:
    """The fallback families needed for `texts`, beside DejaVu."""
    needed = dict.fromkeys(family_for(char) for char in sorted(set("".join(texts))))
    return tuple(name for name in needed if name is not None and name not in (SANS, MONO))


def has_postscript_outlines(family: str) -> bool:
    """Whether the family's file holds CFF outlines, which a PDF cannot embed as TrueType."""
    with _path(family).open("rb") as file:
        head = file.read(16)
        if head[:4] == b"ttcf":  # a collection: look at its first member
            file.seek(int.from_bytes(head[12:16], "big"))
            head = file.read(4)
    return head[:4] == b"OTTO"


def width(text: str, size: float, mono: bool = True, bold: bool = False) -> float:
    """The width in inches of `text` written at `size` points, the same for every format."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    names = matplotlib.rcParams["font.monospace" if mono else "font.family"]
    properties = FontProperties(family=names, size=size, weight="bold" if bold else "normal")
    points, _, _ = text_to_path.get_text_width_height_descent(text, properties, False)
    return float(points) / 72


def elide(text: str, size: float, most: float, mono: bool = True) -> str:
    """`text` cut to at most `most` inches at `size` points, its end an ellipsis if it was cut."""
    if width(text, size, mono) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle] + "…", size, mono) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"
