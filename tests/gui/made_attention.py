"""Attention views on made-up weights, and pictures in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.types import (
    AttentionQuery,
    AttentionResult,
    ModelInfo,
    MosaicResult,
    Request,
    Snapshot,
    Token,
)
from gui import theme
from gui.session import Session
from gui.view import View, ViewSpec
from gui.views import attention, mosaic
from gui.views.attention import AttentionView
from gui.views.mosaic import MosaicView
from gui.widgets.attention_stats import causal_mask

LEFT = Qt.MouseButton.LeftButton
ALT = Qt.KeyboardModifier.AltModifier


def wearing(app: QApplication, which: theme.Theme) -> Iterator[theme.Theme]:
    """Give the application the colours of `which` for as long as the generator stands still."""
    before = app.palette()
    app.setPalette(theme.palette(which))
    yield which
    app.setPalette(before)


def model(kind: str = "decoder", layers: int = 12, heads: int = 4) -> ModelInfo:
    several = kind == "encoder-decoder"
    return ModelInfo(
        name="made",
        title="Made",
        family="llama",
        kind=kind,
        layers=layers,
        heads=heads,
        width=8,
        vocabulary=100,
        max_tokens=1024,
        parameters=1000,
        device="cpu",
        dtype="float32",
        provides=frozenset({"attention", "cross-attention"} if several else {"attention"}),
        decoder_layers=3 if several else 0,
    )


def tokens(count: int, name: str = "t") -> tuple[Token, ...]:
    return tuple(Token(i, f" {name}{i}", b"", 2 * i, 2 * i + 2) for i in range(count))


def weights(queries: int, keys: int | None = None, causal: bool = True) -> np.ndarray:
    keys = queries if keys is None else keys
    scores = np.random.default_rng(queries + 7 * keys).normal(size=(queries, keys)) * 2
    if causal:
        scores[causal_mask(queries, keys)] = -np.inf
    powers = np.exp(scores)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def snapshot(view: View, maps: np.ndarray, text: int, target: int = 0) -> Snapshot:
    query = view.queries()[0]
    stack = view.session.shown_stack
    if isinstance(query, AttentionQuery):
        result = AttentionResult(query.layer, query.head, stack, maps)
    else:
        result = MosaicResult(stack, maps, text, text)
    return Snapshot(
        Request(1, 1, "text", (query,)),
        view.session.model,
        tokens(text),
        tokens(target, "u"),
        MappingProxyType({query: result}),
    )


def made(qtbot: QtBot, spec: ViewSpec, kind="decoder", size=(640, 480), **shape) -> View:
    session = Session()
    session.set_model(model(kind, **shape))
    view = spec.create(session)
    qtbot.addWidget(view)
    view.resize(*size)
    view.show()
    return view


def attention_view(qtbot: QtBot, count: int = 6, **how) -> AttentionView:
    view = made(qtbot, attention.VIEW, **how)
    causal = view.session.shown_stack == "decoder"
    view.render_snapshot(snapshot(view, weights(count, causal=causal), count))
    return view


def lines_view(qtbot: QtBot, count: int = 6, **how) -> AttentionView:
    view = attention_view(qtbot, count, **how)
    view.bar.lines_button.click()
    return view


def mosaic_view(qtbot: QtBot, cells: int = 6, size=(640, 480), **how) -> MosaicView:
    view = made(qtbot, mosaic.VIEW, size=size, **how)
    session = view.session
    maps = np.stack(
        [
            [weights(cells) * (1 + layer + head) / 20 for head in range(session.heads)]
            for layer in range(session.depth)
        ]
    ).astype(np.float32)
    view.render_snapshot(snapshot(view, maps, cells))
    return view


def image_of(widget) -> QImage:
    return widget.grab().toImage()
