"""One question at a time: what is under way, and the newest that came up meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from engine.latent.values import DecodeQuery


@dataclass(slots=True)
class OneAtATime:
    """A question that is under way, and the one that shall follow it."""

    asked: DecodeQuery | None = None
    wanted: DecodeQuery | None = None

    def want(self, query: DecodeQuery | None, *, waiting: bool) -> bool:
        """Take a newer question; whether it is to be asked now.

        With `waiting` the last one has no answer yet, and this one is kept back.
        """
        if query == self.wanted:
            return False
        self.wanted = query
        if waiting and self.asked is not None and query is not None:
            return False
        self.asked = query
        return True
