"""Static word vectors as a model: a word's state is its vector, whatever stands round it."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from engine.arena import Arena, capacity
from engine.errors import UserError
from engine.models.families.decoder import common_prefix
from engine.models.families.spec import Ran, Reader
from engine.models.sources.folder import read_json
from engine.models.store import ModelSource
from engine.models.vocabulary import Vocabulary, vocabulary
from engine.trace import Trace
from engine.types import ModelInfo, Query, Stack, Token

UNKNOWN = -1
"""The id of a word that has no vector; its state is all zeros."""

_MAX_TOKENS = 32_768
_LONGEST = 12  # characters of a word looked for where none are told apart by spaces


class WordReader:
    """Splits a text into words and finds them in a vocabulary.

    A word is looked for as it is written, then in lower case, then its parts where it is joined
    by hyphens or apostrophes; where a script writes no spaces, the longest words that there are.
    What is not found is marked as special and has the id `UNKNOWN`.
    """

    has_chat = False

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self._ids: dict[str, int] = {}
        for number, word in enumerate(words):
            self._ids.setdefault(word, number)

    def read(self, text: str) -> tuple[Token, ...]:
        """Tokenize `text`."""
        tokens: list[Token] = []
        for match in words_pattern().finditer(text):
            tokens.extend(self._tokens(text, match.start(), match.end()))
        return tuple(tokens)

    def ids(self, text: str) -> list[int]:
        """What `read` reads, as ids only."""
        return [token.id for token in self.read(text)]

    def read_chat(self, text: str) -> tuple[Token, ...]:
        """Raise `UserError`: words know no conversations."""
        raise UserError(
            "Cannot wrap the text as a conversation",
            "the model has no template for one",
            "Turn the wrapping off",
        )

    def token(
        self, id_: int, start: int = 0, end: int = 0, special: bool = False, text: str = ""
    ) -> Token:
        """Make the `Token` of an id, standing at ``text[start:end]``."""
        shown = text[start:end] or self.show(id_)
        return Token(id_, shown, shown.encode(), start, end, special or id_ == UNKNOWN)

    def show(self, id_: int) -> str:
        """The word of an id."""
        return self.words[id_] if 0 <= id_ < len(self.words) else "?"

    @functools.cached_property
    def _vocabulary(self) -> Vocabulary:
        return vocabulary(enumerate(self.words), {})

    def vocabulary(self) -> Vocabulary:
        """What the ids stand for, to be compared with another's; worked out once."""
        return self._vocabulary

    def find(self, word: str) -> int:
        """The id of a word as it is written, or else in lower case, or else `UNKNOWN`."""
        return self._ids.get(word, self._ids.get(word.lower(), UNKNOWN))

    def _tokens(self, text: str, start: int, end: int) -> Iterator[Token]:
        id_ = self.find(text[start:end])
        if id_ != UNKNOWN:
            yield self.token(id_, start, end, text=text)
            return
        parts = list(_PARTS.finditer(text, start, end))
        if len(parts) > 1:
            for part in parts:
                yield from self._tokens(text, part.start(), part.end())
            return
        if not _unspaced(text[start]):
            yield self.token(UNKNOWN, start, end, text=text)
            return
        while start < end:
            stop = min(end, start + _LONGEST)
            while stop > start + 1 and self.find(text[start:stop]) == UNKNOWN:
                stop -= 1
            yield self.token(self.find(text[start:stop]), start, stop, text=text)
            start = stop


_PARTS = re.compile(r"[^\-'’·]+|[\-'’·]")


@functools.cache
def words_pattern() -> re.Pattern[str]:
    """What is taken for one word: letters, digits and their marks, or one other sign."""
    # Python's \w leaves out combining marks, which half of the world's vowels are.
    marks = "".join(
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me")
    )
    word = rf"[\w{marks}]+"
    sign = "[^\\w\\s](?:[\ufe0f\U0001f3fb-\U0001f3ff]|\u200d[^\\w\\s])*"  # of several code points
    return re.compile(rf"{word}(?:[\-'’·]{word})*|{sign}")


def _unspaced(letter: str) -> bool:
    """Whether a letter is of a script that writes words without spaces between them."""
    name = unicodedata.name(letter, "")
    return name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"))


class VectorReader(Reader):
    """Looks words up. There are no blocks: the input embedding is all there is.

    Parameters
    ----------
    table : Tensor
        (V, D).
    """

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.device = table.device
        self.blocks = {}

    def find_blocks(self) -> Mapping[Stack, Sequence[nn.Module]]:
        """None."""
        return {}

    def stack_of(self, module: nn.Module) -> Stack:
        """There is only one."""
        return "encoder"

    @property
    def has_attention(self) -> bool:
        """No word looks at another."""
        return False

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return self.table.itemsize

    @property
    def builds_on(self) -> bool:
        """Only new words are looked up."""
        return True

    def pass_bytes(
        self, trace: Trace | None, new: int, count: int, queries: Sequence[Query] = ()
    ) -> int:
        """A vector for each word, as gathered, zeroed where unknown, kept, and pictured."""
        row = self.table.shape[1] * self.table.itemsize
        held = max(0, capacity(count) * row - (0 if trace is None else trace.nbytes))
        return held + 2 * new * row + 3 * 8 * count * self.table.shape[1]

    def read(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
    ) -> tuple[Trace, Ran]:
        """Look up what is new. See `Reader.read`."""
        trace = trace or Trace(states={"encoder": [Arena()]})
        kept = common_prefix(trace.ids, ids)
        if kept < len(trace.ids):
            trace.keep(kept)
        suffix = torch.tensor(ids[kept:], dtype=torch.long, device=self.device)
        if len(suffix):
            rows = self.table[suffix.clamp(min=0)]  # (t, D)
            trace.states["encoder"][0].append(rows * (suffix != UNKNOWN)[:, None])
        trace.ids = list(ids)
        return trace, Ran(int(len(suffix) > 0), len(suffix), kept)


def open_vectors(
    source: ModelSource, device: torch.device
) -> tuple[ModelInfo, VectorReader, WordReader, Tensor, Tensor]:
    """Open a folder of word vectors.

    Returns
    -------
    info : ModelInfo
    reader : VectorReader
    reader_of_text : WordReader
    table : Tensor
        (V, D), mapped from its file where the device is the CPU.
    norms : Tensor
        (V,), the lengths of the vectors.

    Raises
    ------
    UserError
        If the folder is damaged.
    """
    what = f"Cannot open {source.title}"
    damaged = UserError(what, "its copy in the cache is damaged", "Remove it there and open again")
    config = read_json(source.folder / "config.json", what)
    rows, width = config.get("rows"), config.get("width")
    if not isinstance(rows, int) or not isinstance(width, int):
        raise damaged
    path = source.folder / "model.safetensors"
    try:
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
        # Copy on write: torch would warn of memory that it could not write to.
        numbers = np.memmap(path, "<f4", "c", begin, (rows * (width + 1),))
        text = (source.folder / "vocab.txt").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise damaged from error
    words = text.removesuffix("\n").split("\n")
    if len(words) != rows:
        raise damaged
    everything = torch.from_numpy(numbers).to(device)
    table = everything[: rows * width].view(rows, width)
    info = ModelInfo(
        name=source.name,
        title=source.title,
        family=source.family,
        kind="encoder",
        layers=0,
        heads=0,
        width=width,
        vocabulary=rows,
        max_tokens=_MAX_TOKENS,
        parameters=rows * width,
        device=str(device),
        dtype="float32",
        provides=frozenset({"embedding"}),
        source=source.source,
        fingerprint=source.fingerprint,
    )
    return info, VectorReader(table), WordReader(words), table, everything[rows * width :]
