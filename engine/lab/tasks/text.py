"""The next token of the user's own texts, by characters or by a small byte-level BPE.

The last tenth of each file is held out: neither the model nor its tokenizer has seen it, and a copy
of it is kept with the run, so that the model can be judged by it later. Shape letters: B rows, T
tokens of a row, N tokens of all texts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from engine.errors import UserError
from engine.files import replacing
from engine.lab.corpus import END, train_tokenizer
from engine.lab.tasks.spec import UNKNOWN, Ids, Rows, Task, TaskSpec, characters
from engine.models.text import without_surrogates

KEY = "text"
PLAIN = (".txt", ".md")
SHARE = 0.1
"""Of each text, at its end, that is held out."""
LETTERS = 4096
"""Most characters in a vocabulary; rarer ones are unknown."""
KEPT = "held-out.txt"
"""The file in a run's folder that holds what was held out."""
_WHAT = "Cannot use these texts"


@dataclass(frozen=True, slots=True)
class Options:
    """Its choices.

    Parameters
    ----------
    tokens : str
        ``characters``, or ``bpe``: pieces of words, as many as `vocabulary`.
    length : int
        T.
    """

    tokens: Literal["characters", "bpe"] = "characters"
    vocabulary: int = 512
    length: int = 128


class Text(Task):
    """Windows of texts; every target is learnt and judged.

    Parameters
    ----------
    train, held_out : Sequence of str
        Texts; `train` is empty where a model is only judged.
    tokenizer : Tokenizer
        As trained on `train`.

    Raises
    ------
    UserError
        If either comes to less than two tokens, or there is something to train on but no whole row.
    """

    def __init__(
        self, options: Options, train: Sequence[str], held_out: Sequence[str], tokenizer: Tokenizer
    ) -> None:
        self.tokenizer = tokenizer
        self.length = options.length
        self._texts = tuple(held_out)
        self._train = _stream(tokenizer, train)  # (N,)
        self._held_out = _stream(tokenizer, held_out)
        if train and len(self._train) < self.length:
            raise UserError(
                _WHAT,
                f"they come to {len(self._train):,} tokens and a row takes {self.length:,}",
                "Add texts, or choose a smaller --length",
            )
        if len(self._held_out) < 2:
            raise UserError(
                _WHAT,
                f"what is to be judged by comes to {_tokens(len(self._held_out))}",
                "Name longer texts",
            )
        # What is held out may be shorter than a row.
        self.early, self.late = early_late(min(self.length, len(self._held_out)))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the tokens trained on."""
        return hashlib.sha256(self._train.tobytes()).hexdigest()

    @property
    def unknown(self) -> int:
        """Held-out characters that were never seen in training."""
        place = self.tokenizer.token_to_id(UNKNOWN)
        return 0 if place is None else int((self._held_out[1:] == place).sum())

    def rows(self, rng: np.random.Generator, count: int) -> Rows:
        """Windows from anywhere in the texts."""
        starts = rng.integers(0, len(self._train) - self.length + 1, count)
        ids = np.stack([self._train[start : start + self.length] for start in starts])
        every = np.ones((count, self.length - 1), dtype=np.bool_)
        return Rows(ids, every, every)

    def held_out(self, most: int) -> Rows:
        """Windows that overlap by one token, so that each but the first of all is a target once.

        Where there are more than `most`, as many of them, evenly spread.
        """
        ids = self._held_out
        length = min(self.length, len(ids))
        starts = list(range(0, len(ids) - length + 1, length - 1))
        rest = len(ids) - (starts[-1] + length)
        if rest:  # the last row begins earlier and is judged by what the others left
            starts.append(len(ids) - length)
        rows = np.stack([ids[start : start + length] for start in starts])
        judged = np.ones((len(rows), length - 1), dtype=np.bool_)
        if rest:
            judged[-1, : length - 1 - rest] = False
        if len(rows) > most:
            chosen = np.linspace(0, len(rows) - 1, most).round().astype(np.int64)
            rows, judged = rows[chosen], judged[chosen]
        return Rows(rows, np.ones_like(judged), judged)

    def keep(self, folder: Path) -> None:
        """Write what was held out into the folder."""
        with replacing(folder / KEPT) as beside:
            beside.write_text("\n".join(self._texts), encoding="utf-8", newline="")


def early_late(length: int) -> tuple[int, int]:
    """Targets for the in-context learning score: a tenth into the row, and its last.

    The same share that tokens 50 and 500 are of a row of 512 (Olsson et al. 2022, 2209.11895).
    """
    return (length - 2) // 10, length - 2


def make(options: Options, corpus: Sequence[Path]) -> Text:
    """Read texts, cut them, and train a tokenizer on their first part.

    Raises
    ------
    UserError
        If there are none, one cannot be read, or they are too short.
    """
    if options.length < 2:
        raise UserError(_WHAT, f"a row of {options.length} predicts nothing", "Choose 2 or more")
    if not corpus:
        raise UserError(_WHAT, "none were named", "Name files or folders with --corpus")
    texts = read(corpus)
    cuts = [round(len(text) * (1 - SHARE)) for text in texts]
    train = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    held_out = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    count = sum(map(len, train))
    if count < options.length:
        raise UserError(
            _WHAT,
            f"they leave {count:,} character{'s' * (count != 1)} to learn from, and a row takes "
            f"{options.length:,} tokens",
            "Name longer texts",
        )
    return Text(options, train, held_out, _tokenizer(options, train))


def again(options: Options, corpus: Sequence[Path], folder: Path) -> Text:
    """What a run's model is judged by: `corpus`, or what was held out when it was trained.

    Raises
    ------
    UserError
        If a text cannot be read or comes to nothing, or the run's folder is damaged.
    """
    what = f"Cannot judge the model in {folder}"
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        texts = read(corpus) if corpus else [(folder / KEPT).read_text(encoding="utf-8")]
    except UserError:
        raise
    except Exception as error:  # tokenizers raise the plain class
        raise UserError(
            what, f"a file of it is missing or damaged ({error})", "Train it again"
        ) from error
    return Text(options, [], texts, tokenizer)


def read(paths: Sequence[Path]) -> list[str]:
    """The texts of files, and of the plain ones in folders, as they are.

    Raises
    ------
    UserError
        If a file is missing, empty or no text, or a folder holds none.
    """
    texts = []
    for path in paths:
        for file in _files(path):
            what = f"Cannot read {file}"
            try:
                text = without_surrogates(file.read_bytes().decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                why = f"it is not UTF-8 text, at byte {error.start}"
                raise UserError(what, why, "Save it as UTF-8 and try again") from error
            except OSError as error:
                why = error.strerror or str(error)
                raise UserError(what, why, "Choose another file") from error
            texts.append(text.replace("\r\n", "\n"))
    if not any(texts):
        raise UserError(_WHAT, "they are empty", "Name texts with something in them")
    return texts


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(
        file for file in path.rglob("*") if file.suffix.lower() in PLAIN and file.is_file()
    )
    if not found:
        why = f"it holds no {' or '.join(PLAIN)} file" if path.is_dir() else "there is no such file"
        raise UserError(f"Cannot read {path}", why, "Name plain texts in UTF-8, or folders of them")
    return found


def _tokenizer(options: Options, texts: Sequence[str]) -> Tokenizer:
    if options.tokens == "bpe":
        if options.vocabulary < 300:
            raise UserError(
                _WHAT,
                f"a vocabulary of {options.vocabulary} does not hold all bytes",
                "Choose 300 or more, or tokens by characters",
            )
        return train_tokenizer(list(texts), options.vocabulary)
    counts = Counter(letter for text in texts for letter in text)
    # The most common ones, in the order of their code points: the same texts, the same ids.
    common = sorted(counts, key=lambda letter: (-counts[letter], letter))[:LETTERS]
    return characters("".join(sorted(common)))


def _stream(tokenizer: Tokenizer, texts: Sequence[str]) -> Ids:
    """All texts as one row of tokens (N,), the end token between them where there is one."""
    end = tokenizer.token_to_id(END)
    ids: list[int] = []
    for place, text in enumerate(texts):
        if place and end is not None:
            ids.append(end)
        ids += tokenizer.encode(text).ids
    return np.array(ids, dtype=np.int64)


def _tokens(count: int) -> str:
    return f"{count} token{'s' * (count != 1)}"


TASK = TaskSpec(
    key=KEY,
    says="The next token of your own texts.",
    options=Options,
    make=make,
    again=again,
    reads=True,
    defaults={
        "transformer": {"inner": 256, "rate": 3e-3, "steps": 1000, "batch": 16},
        "lstm": {"layers": 1, "width": 128, "rate": 5e-3, "steps": 1000, "batch": 16},
    },
)
