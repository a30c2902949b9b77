"""Where a text may be cut in two and read in parts, as the whole would be.

To read a text of a thousand tokens takes longer than a quarter of the model's step, and a keystroke
changes only its end. Byte-level BPE cuts a text into words by a rule that goes from left to right
(GPT-2's, Radford et al. 2019) and joins bytes within each. Between a letter and a blank before a
letter the rule always cuts, whatever stands further on either side: what is read up to there, and
from there, is what the whole is read as.
"""

from __future__ import annotations

import re
from typing import Any

_SEAM = re.compile(r"[A-Za-z](?= [A-Za-z])")

REACH = 256
"""Characters that are looked at for a seam."""


def cuts_at_blanks(described: dict[str, Any], adds: int) -> bool:
    """Whether a tokenizer reads the parts of a text about a seam as it reads the whole.

    Parameters
    ----------
    described : dict
        A fast tokenizer as JSON has it.
    adds : int
        How many special tokens it puts round a text.
    """
    steps = described.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    *before, last = steps if steps else [{}]
    after = described.get("post_processor") or {"type": "TemplateProcessing"}
    return (
        not adds
        # Blanks are trimmed otherwise where a text begins.
        and (after["type"] == "TemplateProcessing" or after.get("trim_offsets") is False)
        and all(described.get(part) is None for part in ("normalizer", "truncation", "padding"))
        and described["model"].get("type") == "BPE"
        and not described["model"].get("dropout")
        and all(step.get("type") == "Digits" for step in before)
        and last.get("type") == "ByteLevel"
        and last.get("use_regex", False)
        and not last.get("add_prefix_space", True)
        and all(_stays_apart(added) for added in described.get("added_tokens", ()))
    )


def _stays_apart(added: dict[str, Any]) -> bool:
    """Whether an added token, which is found before the text is cut into words, spans no seam."""
    return not (added["lstrip"] or added["rstrip"] or _SEAM.search(added["content"]))


def last_seam(text: str, stop: int) -> int:
    """The last place before `stop` at which `text` may be cut, not far from it; 0 is the start."""
    begin = max(0, stop - REACH)
    # The letter behind the blank has to stand before `stop` too.
    found = [match.end() for match in _SEAM.finditer(text, begin, stop)]
    return found[-1] if found else 0


def common_start(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:  # by halves, each compared at once
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
