"""Text to tokens and back, with the bytes and the place of each token.

Tokenizers write their vocabulary in several scripts: byte-level BPE draws each byte as a printable
letter, SentencePiece writes spaces as ``▁`` and stray bytes as ``<0xE4>``, WordPiece marks
continuations with ``##``. `TokenReader` turns all of them back into bytes.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from engine.types import Token

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def byte_letters() -> dict[str, int]:
    """The letter that byte-level BPE (GPT-2) draws for each of the 256 bytes, inverted.

    Printable bytes of Latin-1 stand for themselves, the others for the letters from U+0100 on, in
    order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    letters.update({chr(0x100 + index): byte for index, byte in enumerate(others)})
    return letters


def without_surrogates(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD.

    They come from broken copies and file names; no tokenizer accepts them.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def show_bytes(data: bytes) -> str:
    """`data` as text, with bytes that form no character written ``⟨E7 8C⟩``."""
    shown = ""
    rest = data
    while rest:
        try:
            return shown + rest.decode("utf-8")
        except UnicodeDecodeError as error:
            shown += rest[: error.start].decode("utf-8")
            stop = error.end
            # Neighbouring stray bytes are one fragment.
            while stop < len(rest) and 0x80 <= rest[stop] < 0xC0:
                stop += 1
            shown += "⟨" + rest[error.start : stop].hex(" ").upper() + "⟩"
            rest = rest[stop:]
    return shown


class TokenReader:
    """Reads texts with one model's tokenizer.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        A fast tokenizer, or a slow one: then spans are found by looking for each token's text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.special_ids = frozenset(tokenizer.all_special_ids)
        self._fast = bool(getattr(tokenizer, "is_fast", False))
        steps = ""
        if self._fast:
            described = json.loads(tokenizer.backend_tokenizer.to_str())
            steps = json.dumps([described.get("decoder"), described.get("pre_tokenizer")])
        self._byte_level = '"ByteLevel"' in steps
        self._wordpiece = '"WordPiece"' in steps

    def read(self, text: str) -> tuple[Token, ...]:
        """Tokenize `text` as the model was trained to, special tokens included.

        Raises
        ------
        ValueError
            If `text` holds lone surrogates; see `without_surrogates`.
        """
        if not self._fast:
            return self._read_slowly(text)
        coded = self.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        return tuple(
            self.token(id_, start, end, bool(special), text)
            for id_, (start, end), special in zip(
                coded["input_ids"],
                coded["offset_mapping"],
                coded["special_tokens_mask"],
                strict=True,
            )
        )

    def token(
        self, id_: int, start: int = 0, end: int = 0, special: bool = False, text: str = ""
    ) -> Token:
        """Make the `Token` of an id, standing at ``text[start:end]``."""
        piece = self.tokenizer.convert_ids_to_tokens(id_) or ""
        special = special or id_ in self.special_ids
        if special:
            return Token(id_, piece, text[start:end].encode(), start, end, special=True)
        data = self.piece_bytes(piece)
        if self._wordpiece and start < end:
            data = text[start:end].encode()  # the piece is lower-cased and stripped of accents
        return Token(id_, show_bytes(data), data, start, end)

    def piece_bytes(self, piece: str) -> bytes:
        """The bytes a vocabulary entry stands for."""
        if self._byte_level:
            letters = byte_letters()
            if all(letter in letters for letter in piece):
                return bytes(letters[letter] for letter in piece)
            return piece.encode("utf-8", "replace")  # an added token is written as it is
        if match := _BYTE.fullmatch(piece):
            return bytes((int(match.group(1), 16),))
        if self._wordpiece:
            return piece.removeprefix("##").encode()
        return piece.replace("▁", " ").encode("utf-8", "replace")

    def show(self, id_: int) -> str:
        """How a vocabulary entry is drawn where it stands alone."""
        if self._wordpiece and id_ not in self.special_ids:
            return str(self.tokenizer.convert_ids_to_tokens(id_) or "")
        return self.token(id_).text

    def _read_slowly(self, text: str) -> tuple[Token, ...]:
        tokens = []
        place = 0
        for id_ in self.tokenizer(text)["input_ids"]:
            shown = self.token(id_).text.strip()
            found = text.find(shown, place) if shown and id_ not in self.special_ids else -1
            start, end = (found, found + len(shown)) if found >= 0 else (place, place)
            tokens.append(self.token(id_, start, end, text=text))
            place = end
        return tuple(tokens)
