"""Text to tokens and back, with the bytes and the place of each token.

Tokenizers write their vocabulary in several scripts: byte-level BPE draws each byte as a printable
letter, SentencePiece writes spaces as ``▁`` and stray bytes as ``<0xE4>``, WordPiece marks
continuations with ``##``. `TokenReader` turns all of them back into bytes.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, Protocol

from engine.errors import UserError
from engine.models.families.decoder import common_prefix
from engine.models.seams import common_start, cuts_at_blanks, last_seam
from engine.models.vocabulary import Vocabulary, vocabulary
from engine.types import Token

# Stands for the user's text when it is asked where a template puts it.
_MARK = "the-text-of-the-user"
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


class TextReader(Protocol):
    """What reads texts for a model, and shows what its ids stand for."""

    @property
    def has_chat(self) -> bool:
        """Whether the model came with a template for conversations."""

    def read(self, text: str) -> tuple[Token, ...]:
        """Tokenize `text`, special tokens included."""

    def read_chat(self, text: str) -> tuple[Token, ...]:
        """Tokenize `text` as one turn of a user in a conversation."""

    def ids(self, text: str) -> list[int]:
        """What `read` reads, as ids and without being remembered."""

    def token(
        self, id_: int, start: int = 0, end: int = 0, special: bool = False, text: str = ""
    ) -> Token:
        """Make the `Token` of an id, standing at ``text[start:end]``."""

    def show(self, id_: int) -> str:
        """How a vocabulary entry is drawn where it stands alone."""

    def vocabulary(self) -> Vocabulary:
        """What the ids stand for, to be compared with another's; worked out once."""


class _Piece(NamedTuple):
    id: int
    start: int
    end: int
    special: bool


class _Reading(NamedTuple):
    """What a text, as a conversation or not, was cut into."""

    text: str
    chat: bool
    pieces: list[_Piece]
    tokens: tuple[Token, ...]


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
        steps, self._cuts = "", False
        if self._fast:
            described = json.loads(tokenizer.backend_tokenizer.to_str())
            kind = described["model"].get("type")
            steps = json.dumps([described.get("decoder"), described.get("pre_tokenizer"), kind])
            self._cuts = cuts_at_blanks(described, tokenizer.num_special_tokens_to_add())
        self._byte_level = '"ByteLevel"' in steps
        self._wordpiece = '"WordPiece"' in steps
        self._known: dict[int, tuple[str, bytes]] = {}
        # The last two, newest first: an encoder-decoder reads a text and a target in turn.
        self._readings: list[_Reading] = []
        self._vocabulary: Vocabulary | None = None
        self.made = 0  # tokens ever made, for tests

    def read(self, text: str) -> tuple[Token, ...]:
        """Tokenize `text` as the model was trained to, special tokens included.

        Raises
        ------
        ValueError
            If `text` holds lone surrogates; see `without_surrogates`.
        """
        known = self._known_reading(text, chat=False)
        if known is not None:
            return known
        begun = self._begun(text)
        place = begun[-1].end if begun else 0
        return self._tokens(text, False, [*begun, *self._pieces(text, True, place)], len(begun))

    def _begun(self, text: str) -> list[_Piece]:
        """The first pieces, as they were read before an edit; none where all has to be read."""
        if not self._cuts or not self._readings or self._readings[0].chat:
            return []
        newest = self._readings[0]
        seam = last_seam(text, common_start(newest.text, text))
        count = bisect.bisect_right(newest.pieces, seam, key=lambda piece: piece.end)
        # A blank that was trimmed off its token would be forgotten.
        return newest.pieces[:count] if count and newest.pieces[count - 1].end == seam else []

    def ids(self, text: str) -> list[int]:
        """What `read` reads, as ids only: what is read so is not taken for the next one's past."""
        return [piece.id for piece in self._pieces(text, special=True)]

    def _known_reading(self, text: str, chat: bool) -> tuple[Token, ...] | None:
        """What was read before, if it is the same text in the same manner."""
        for one in self._readings:
            if one.text == text and one.chat == chat:
                return one.tokens
        return None

    def _tokens(
        self, text: str, chat: bool, pieces: list[_Piece], begun: int = 0
    ) -> tuple[Token, ...]:
        """The tokens of pieces; those that stood there before a keystroke are the same objects.

        The first `begun` are known to be the newest reading's.
        """
        tokens: tuple[Token, ...] = ()
        for one in self._readings:
            # A keystroke leaves most of the newest; only beside a target is the other worth a look.
            if one.chat == chat and 2 * len(tokens) < len(pieces):
                tokens = max(tokens, one.tokens[: self._alike(one, text, pieces, begun)], key=len)
                begun = 0
        new = pieces[len(tokens) :]
        self.made += len(new)
        tokens += tuple(self._token_of(piece, text, chat) for piece in new)
        self._readings = [_Reading(text, chat, pieces, tokens), *self._readings[:1]]
        return tokens

    def _alike(self, one: _Reading, text: str, pieces: list[_Piece], begun: int) -> int:
        """How many tokens begin an earlier reading that begin this one too, `begun` at least."""
        alike = begun + common_prefix(one.pieces[begun:], pieces[begun:])
        for count, piece in enumerate(pieces[begun:alike], begun):
            # Of these, a token holds what is written, not what its id stands for.
            if piece.special or self._wordpiece or piece.id in self.special_ids:
                part = slice(piece.start, piece.end)
                if text[part] != one.text[part]:
                    return count
        return alike

    def _token_of(self, piece: _Piece, text: str, chat: bool) -> Token:
        token = self.token(piece.id, piece.start, piece.end, piece.special, text)
        # What a template put round the text stands nowhere in it.
        outside = chat and piece.start >= piece.end
        return dataclasses.replace(token, special=True) if outside else token

    def vocabulary(self) -> Vocabulary:
        """What the ids stand for, to be compared with another's; worked out once."""
        if self._vocabulary is None:
            known: dict[str, int] = self.tokenizer.get_vocab()
            ids = self.special_ids | set(getattr(self.tokenizer, "added_tokens_decoder", ()))
            added = {number: entry for entry, number in known.items() if number in ids}
            entries = ((number, entry) for entry, number in known.items())
            self._vocabulary = vocabulary(entries, added)
        return self._vocabulary

    @property
    def has_chat(self) -> bool:
        """Whether the model came with a template for conversations."""
        return isinstance(getattr(self.tokenizer, "chat_template", None), (str, dict))

    def read_chat(self, text: str) -> tuple[Token, ...]:
        """Tokenize `text` as one turn of a user, wrapped in the model's template.

        Returns
        -------
        tuple of Token
            Spans point into `text`. What the template put round it is special and has empty spans.

        Raises
        ------
        UserError
            If there is no template, or it cannot be rendered.
        """
        known = self._known_reading(text, chat=True)
        if known is not None:
            return known
        rendered, begin, content = self._rendered(text)
        end = begin + len(content)
        shift = text.index(content) - begin
        pieces = []
        for piece in self._pieces(rendered, special=False):
            start, stop = (
                min(max(place, begin), end) + shift for place in (piece.start, piece.end)
            )
            pieces.append(_Piece(piece.id, start, stop, False))
        return self._tokens(text, True, pieces)

    def _rendered(self, text: str) -> tuple[str, int, str]:
        """A conversation of one turn, where the text begins in it, and what is left of the text."""
        what = "Cannot wrap the text as a conversation"
        do = "Turn the wrapping off"
        if not self.has_chat:
            raise UserError(what, "the model has no template for one", do)
        try:
            rendered = self._render(text)
            before, _, after = self._render(_MARK).rpartition(_MARK)
        except Exception as error:  # a template may raise whatever its author liked
            raise UserError(what, f"the model's template refuses it ({error})", do) from error
        for content in (text, text.strip()):  # many templates strip the text
            if rendered == before + content + after:
                return rendered, len(before), content
        raise UserError(what, "the model's template changes what was typed", do)

    def _render(self, text: str) -> str:
        turn = [{"role": "user", "content": text}]
        return str(
            self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        )

    def token(
        self, id_: int, start: int = 0, end: int = 0, special: bool = False, text: str = ""
    ) -> Token:
        """Make the `Token` of an id, standing at ``text[start:end]``."""
        if special or id_ in self.special_ids:
            piece = self.tokenizer.convert_ids_to_tokens(id_) or ""
            return Token(id_, piece, text[start:end].encode(), start, end, special=True)
        if self._wordpiece and start < end:
            data = text[start:end].encode()  # the piece is lower-cased and stripped of accents
            return Token(id_, show_bytes(data), data, start, end)
        known = self._known.get(id_)
        if known is None:
            data = self.piece_bytes(self.tokenizer.convert_ids_to_tokens(id_) or "")
            # A text is read anew with each key, and nearly all of its pieces were met before.
            known = self._known[id_] = show_bytes(data), data
        return Token(id_, *known, start, end)

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

    def _pieces(self, text: str, special: bool, begin: int = 0) -> Iterator[_Piece]:
        """Tokenize; with `special`, special tokens are added as the model was trained with them.

        From `begin` on, which is at a seam.
        """
        if not self._fast:
            yield from self._pieces_slowly(text, special)
            return
        coded = self.tokenizer(
            text[begin:],
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        columns = coded["input_ids"], coded["offset_mapping"], coded["special_tokens_mask"]
        yield from [
            _Piece(id_, begin + start, begin + end, bool(mark))
            for id_, (start, end), mark in zip(*columns, strict=True)
        ]

    def _pieces_slowly(self, text: str, special: bool) -> Iterator[_Piece]:
        """Without offsets: each token's text is looked for behind the one before."""
        place = 0
        for id_ in self.tokenizer(text, add_special_tokens=special)["input_ids"]:
            shown = self.token(id_).text.strip()
            found = text.find(shown, place) if shown else -1
            if id_ in self.special_ids and text[place:found].strip():
                found = -1  # it was added; what is found was written further on
            start, end = (found, found + len(shown)) if found >= 0 else (place, place)
            yield _Piece(id_, start, end, False)
            place = end
