"""The line that says what was chosen together on a map: how many, and of which labels."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget
from superqt import QElidingLabel

from gui import theme
from gui.widgets.icons import IconButton
from gui.widgets.lasso import Group


def shares(
    group: Group, labels: NDArray[np.int64], names: Sequence[str]
) -> list[tuple[str, int, float]]:
    """Each label among the chosen dots, its number and share 0..1, falling."""
    if not len(group.cloud) or not len(names) or int(group.cloud.max()) >= len(labels):
        return []
    there = labels[group.cloud]
    counts = np.bincount(there[(there >= 0) & (there < len(names))], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    return [
        (names[index], int(counts[index]), counts[index] / len(group.cloud))
        for index in order.tolist()
        if counts[index]
    ]


def described(
    group: Group,
    labels: NDArray[np.int64],
    names: Sequence[str],
    of: int,
    noun: str = "token",
) -> str:
    """What was chosen, in one line; `of` is how many dots there are."""
    count, tokens = len(group.cloud), len(group.tokens)
    parts = [f"{count:,} of {of:,} reference states"] if count or not tokens else []
    if tokens:
        parts.append(f"{tokens} {noun}{'s' * (tokens != 1)}")
    said = "Chosen: " + " and ".join(parts)
    told = [f"{name} {100 * share:.0f} %" for name, _, share in shares(group, labels, names)]
    return " · ".join([said, *told])


class GroupLine(QWidget):
    """Says what is chosen, with a button that lets go; hidden while nothing is."""

    letGo = Signal()
    """The user wants nothing to be chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QElidingLabel()
        self.label.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.button = IconButton(
            "close", "Let go of the chosen group", "Let go of the chosen group (Escape on the map)."
        )
        self.button.clicked.connect(self.letGo)
        self.button.setFixedSize(20, 18)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 2)
        row.setSpacing(4)
        row.addWidget(self.label, 1)
        row.addWidget(self.button)
        self.hide()

    def show_group(
        self,
        group: Group,
        labels: NDArray[np.int64],
        names: Sequence[str],
        of: int,
        noun: str = "token",
    ) -> None:
        """Say what `group` is of `of` dots with these labels."""
        said = described(group, labels, names, of, noun) if group else ""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td align='right'>{number:,}</td>"
            f"<td align='right'>{100 * share:.1f} %</td></tr>"
            for name, number, share in shares(group, labels, names)
        )
        self.label.setText(said)
        self.label.setToolTip(
            "<p>What was drawn round, and which labels the chosen reference states have. Escape on "
            f"the map lets go.</p><table cellspacing='8'>{rows}</table>"
        )
        self.label.setAccessibleName(said)
        self.setVisible(bool(said))
