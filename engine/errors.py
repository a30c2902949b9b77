"""The one exception a user may meet, and how work is told to stop.

Everything that can go wrong for a reason outside the program is raised as `UserError`: what
happened, why, and what to do about it, each a clause that reads well in one sentence. The window
shows the sentence, the command line prints it; neither shows a traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can understand and act on.

    Parameters
    ----------
    what : str
        What did not happen, without a full stop: ``"Cannot open gpt2-fake"``.
    why : str
        The cause, in the user's terms: ``"the hub knows no such model"``.
    do : str
        The way out: ``"Check the spelling, or open a folder"``.
    """

    def __init__(self, what: str, why: str, do: str) -> None:
        self.what = what.rstrip(". ")
        self.why = why.rstrip(". ")
        self.do = do.rstrip(". ")
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """What, why and what to do, on one line."""
        return " ".join(f"{self.what}: {self.why}. {self.do}.".split())


class NoRoomError(UserError):
    """Something that memory is too small for, and that could be had with more of it."""


class Cancelled(Exception):  # noqa: N818 - it is an outcome, not an error
    """The work was asked to stop, and stopped."""
