"""Whether two tokenizers write texts in the same tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a tokenizer's numbers stand for.

    `words` is a hash over the entries that texts are made of and their numbers, and `added` the
    entries that were added beside them, by number: marks of a template, and padding.
    """

    words: str
    added: Mapping[int, str]

    def agrees(self, other: Vocabulary) -> bool:
        """Whether a number means the same in both, wherever both know it.

        One may have marks that the other has not: a model for conversations has them, the one it
        was made from has not.
        """
        shared = self.added.keys() & other.added.keys()
        return self.words == other.words and all(
            self.added[number] == other.added[number] for number in shared
        )


def vocabulary(entries: Iterable[tuple[int, str]], added: Mapping[int, str]) -> Vocabulary:
    """Make the vocabulary of `entries`, of which those of `added` are no words."""
    made = hashlib.sha256()
    for number, entry in sorted(entries):
        if number not in added:
            made.update(f"{number} {entry}\n".encode("utf-8", "surrogatepass"))
    return Vocabulary(made.hexdigest(), dict(added))
