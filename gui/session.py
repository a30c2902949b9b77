"""What the user chose: the text, layer, head and selection, the same for every view.

Views read a `Session` and call its setters; they never talk to each other. A setter that changes
nothing emits nothing, so that a view may set what it was just told without an endless round.
"""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QObject, Signal

from engine.types import ModelInfo, Stack

Scaling = Literal["linear", "log", "row"]
"""How attention weights become colours: as they are, by logarithm, or by their row's largest."""

Range = tuple[int, int]
"""Tokens next to each other: the first, and the one after the last."""


class Session(QObject):
    """The one record of the user's choices.

    Attributes
    ----------
    text, target : str
        The context, and what an encoder-decoder's decoder reads (empty: the context itself).
    model : ModelInfo or None
        The model that answers now; None until the first one is loaded.
    layer : int
        Depth in the residual stream, 0 (input embeddings) to L (last block's output). Attention
        "at layer l" is the attention of block l, the block that reads the state at depth l, so the
        last depth shows block L − 1: see `block`.
    head : int or None
        None is the mean over heads.
    stack : Stack or None
        Which attention to show of a model that has several; None the model's first.
    selected, hovered : int or None
        Index of a token of the context. `pinned` are those that keep their mark.
    range : Range or None
        The pinned range of tokens, which attention is zoomed to; kept in place by `RangeKeeper`.
    scaling : Scaling
        How attention weights become colours.
    contexts : (str, str)
        What is written before the text on either side of a comparison; empty for the text alone.
    second : ModelInfo or None
        The other model, which reads side B of a comparison; None if the same reads both.
    chat : bool
        Whether the context shall be wrapped in the model's template for conversations: see `chats`.
    """

    textChanged = Signal(str)
    targetChanged = Signal(str)
    modelChanged = Signal(object)
    layerChanged = Signal(int)
    headChanged = Signal(object)
    stackChanged = Signal(object)
    scalingChanged = Signal(str)
    chatChanged = Signal(bool)
    contextsChanged = Signal()
    secondChanged = Signal(object)
    selectionChanged = Signal(object)
    hoverChanged = Signal(object)
    pinsChanged = Signal(object)
    rangeChanged = Signal(object)

    def __init__(self, text: str = "", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.text = text
        self.target = ""
        self.model: ModelInfo | None = None
        self.layer = 0
        self.head: int | None = None
        self.stack: Stack | None = None
        self.scaling: Scaling = "linear"
        self.chat = False
        self.contexts: tuple[str, str] = ("", "")
        self.second: ModelInfo | None = None
        self.selected: int | None = None
        self.hovered: int | None = None
        self.pinned: frozenset[int] = frozenset()
        self.range: Range | None = None

    @property
    def depth(self) -> int:
        """The largest `layer` the shown stack has."""
        return self.model.depth(self.shown_stack) if self.model else 0

    @property
    def heads(self) -> int:
        """How many heads each layer has."""
        return self.model.heads if self.model else 0

    @property
    def shown_stack(self) -> Stack:
        """The stack whose attention is shown."""
        stacks = self.model.stacks if self.model else ("decoder",)
        return self.stack if self.stack in stacks else stacks[0]

    @property
    def can_chat(self) -> bool:
        """Whether the model has a template for conversations."""
        return self.model is not None and "chat" in self.model.provides

    @property
    def chats(self) -> bool:
        """Whether the context is wrapped: it is wanted, and there is a template."""
        return self.chat and self.can_chat

    @property
    def block(self) -> int:
        """The block whose attention is shown: the one that reads the state at `layer`."""
        return max(0, min(self.layer, self.depth - 1))

    def set_text(self, text: str) -> None:
        """Take a new context. The selection is kept where its token index still makes sense."""
        if text != self.text:
            self.text = text
            self.textChanged.emit(text)

    def set_target(self, text: str) -> None:
        """Take a new text for the decoder of an encoder-decoder."""
        if text != self.target:
            self.target = text
            self.targetChanged.emit(text)

    def set_model(self, model: ModelInfo) -> None:
        """Take a new model; layer and head are brought into its range, the text is kept."""
        first = self.model is None
        self.model = model
        self.modelChanged.emit(model)
        # A third of the way up is where attention is most worth a first look.
        self.set_layer(model.layers // 3 if first else self.layer)
        self.set_head(self.head if self.head is not None and self.head < model.heads else None)
        if self.stack is not None and self.stack not in model.stacks:
            self.set_stack(None)

    def set_layer(self, layer: int) -> None:
        """Choose a depth; out of range is brought in."""
        layer = max(0, min(layer, self.depth))
        if layer != self.layer:
            self.layer = layer
            self.layerChanged.emit(layer)

    def set_head(self, head: int | None) -> None:
        """Choose a head, or None for the mean over heads; out of range is brought in."""
        if head is not None:
            head = max(0, min(head, self.heads - 1)) if self.heads else None
        if head != self.head:
            self.head = head
            self.headChanged.emit(head)

    def set_stack(self, stack: Stack | None) -> None:
        """Choose which attention of an encoder-decoder is shown."""
        if stack != self.stack:
            self.stack = stack
            self.stackChanged.emit(stack)
            self.set_layer(self.layer)

    def set_scaling(self, scaling: Scaling) -> None:
        """Choose how attention weights become colours."""
        if scaling != self.scaling:
            self.scaling = scaling
            self.scalingChanged.emit(scaling)

    def set_chat(self, chat: bool) -> None:
        """Wrap the context in the model's template for conversations, or leave it as it is."""
        if chat != self.chat:
            self.chat = chat
            self.chatChanged.emit(chat)

    def set_contexts(self, one: str, other: str) -> None:
        """Choose what stands before the text on either side of a comparison."""
        if (one, other) != self.contexts:
            self.contexts = (one, other)
            self.contextsChanged.emit()

    def set_second(self, model: ModelInfo | None) -> None:
        """Choose which other model reads side B of a comparison; None for the same."""
        if model != self.second:
            self.second = model
            self.secondChanged.emit(model)

    def select(self, index: int | None) -> None:
        """Select a token everywhere; None selects nothing."""
        if index != self.selected:
            self.selected = index
            self.selectionChanged.emit(index)

    def hover(self, index: int | None) -> None:
        """Outline a token everywhere; None outlines nothing."""
        if index != self.hovered:
            self.hovered = index
            self.hoverChanged.emit(index)

    def toggle_pin(self, index: int) -> None:
        """Pin a token, or unpin it."""
        self.pinned = self.pinned ^ {index}
        self.pinsChanged.emit(self.pinned)

    def pin_range(self, range_: Range | None) -> None:
        """Pin a range of tokens in place of the last one; None, or an empty one, lifts it."""
        if range_ is not None and not 0 <= range_[0] < range_[1]:
            range_ = None
        if range_ != self.range:
            self.range = range_
            self.rangeChanged.emit(range_)

    def extend_range(self, index: int) -> None:
        """Pin from the token selected, or from the range's far end, to the token `index`."""
        anchor = self.selected
        if anchor is None:
            first, after = self.range or (index, index + 1)
            anchor = first if index >= first else after - 1
        self.pin_range((min(anchor, index), max(anchor, index) + 1))

    def clamp_to(self, count: int) -> None:
        """Forget marks on tokens that are gone, now that the context has `count` tokens."""
        if self.selected is not None and self.selected >= count:
            self.select(None)
        if self.hovered is not None and self.hovered >= count:
            self.hover(None)
        kept = frozenset(index for index in self.pinned if index < count)
        if kept != self.pinned:
            self.pinned = kept
            self.pinsChanged.emit(kept)
