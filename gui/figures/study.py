"""What a study has measured: a k-shot curve, loss by position, or the heads that look back."""

from __future__ import annotations

from gui.figures.spec import sheet_figure

FIGURE = sheet_figure("study", "Start a study in its panel, or use main.py study")
