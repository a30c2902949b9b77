"""Curves of small models that were trained here, those that are ticked over each other."""

from __future__ import annotations

from gui.figures.spec import sheet_figure

FIGURE = sheet_figure("laboratory", "Train a model in the panel Laboratory, or tick a run there")
