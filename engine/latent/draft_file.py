"""A sentence space on disk, its card, the last epoch of a training, and where spaces are found.

One safetensors file each: tensors, and what is told of them as JSON in its metadata. Nothing in
them is run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.files import replacing
from engine.latent.draft_training import Epoch, Moment, Settings
from engine.latent.draft_vae import DraftVAE, Shape
from engine.latent.tensors import write
from engine.paths import RESOURCES, cache_dir
from engine.types import ModelInfo

FORMAT = 1
SUFFIX = ".safetensors"
CHECKPOINT = ".checkpoint.safetensors"

_log = logging.getLogger(__name__)


class Row(msgspec.Struct, frozen=True):
    """What was measured on held-out sentences of one label, each token given those before it.

    Shares of tokens that were the likeliest, and perplexities a token, the end of a sentence among
    them: of the draft by itself, of the model by itself, of the model with the sentence's own point
    and with that of another sentence. `exact` is the share of `written` sentences that came back
    to the letter when the model wrote them from their points.
    """

    label: str
    sentences: int
    draft_accuracy: float
    model_accuracy: float
    accuracy: float
    other_accuracy: float
    model_perplexity: float
    perplexity: float
    other_perplexity: float
    active_units: int
    kl: float
    exact: float
    written: int


class Card(msgspec.Struct, frozen=True):
    """What a space is of and how it came about. `data` counts the sentences trained on, by label.

    `weight` is how much of the draft's log-probabilities is added to the model's. `seen` are marks
    of the sentences trained on (`corpus_sentences.marks`), kept in the file as a tensor.
    """

    model: str
    title: str
    fingerprint: str
    shape: Shape
    settings: Settings
    data: dict[str, int]
    epochs: list[Epoch]
    weight: float
    seconds: float
    date: str
    command: str
    torch: str
    held_out: tuple[Row, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class DraftSpace:
    """A sentence space, and the `seen` marks (n,) int64 of what it was trained on."""

    vae: DraftVAE
    card: Card
    seen: Tensor


def save(space: DraftSpace, path: Path) -> None:
    """Write a space in half precision, and its card beside it as Markdown.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    tensors = {
        f"vae.{name}": (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in space.vae.state_dict().items()
    }
    told = {"card": msgspec.json.encode(space.card).decode()}
    write(path, {**tensors, "seen": space.seen}, told)
    with replacing(path.with_suffix(".md")) as beside:
        beside.write_text(described(space.card), encoding="utf-8")


def load(path: Path) -> DraftSpace:
    """Read a space.

    Raises
    ------
    UserError
        If there is none, or it is damaged.
    """
    what, do = f"Cannot read the sentence space {path}", "Train one, or name another file"
    if not path.is_file():
        raise UserError(what, "there is no such file", do)
    try:
        with safe_open(path, framework="pt") as file:
            card = msgspec.json.decode((file.metadata() or {})["card"], type=Card)
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if card.format != FORMAT:
            raise UserError(what, "another version of the program wrote it", do)
        vae = DraftVAE(card.shape)
        state = {
            name.removeprefix("vae."): t.float() if t.is_floating_point() else t
            for name, t in found.items()
            if name.startswith("vae.")
        }
        vae.load_state_dict(state)
        seen = found["seen"]
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            what, "the file is damaged or cut short, or is no such space", do
        ) from error
    return DraftSpace(vae.eval().requires_grad_(False), card, seen)


def rounded(vae: DraftVAE) -> DraftVAE:
    """The same as it will be once it was saved: in half precision and back."""
    other = DraftVAE(vae.shape)
    other.load_state_dict(
        {
            name: tensor.half().float() if tensor.is_floating_point() else tensor
            for name, tensor in vae.state_dict().items()
        }
    )
    return other.eval().requires_grad_(False)


def require(card: Card, info: ModelInfo) -> None:
    """Check that a space is of the model that is open.

    Raises
    ------
    UserError
        If it was trained for another, or for other weights of it.
    """
    same = not (card.fingerprint and info.fingerprint and card.fingerprint != info.fingerprint)
    if card.model != info.name or card.shape.width != info.width or not same:
        raise UserError(
            "Cannot use this sentence space",
            f"it was trained for {card.title}, or for other weights than those of {info.title}",
            "Train one for this model",
        )


def folders() -> tuple[Path, ...]:
    """Where spaces lie: those that come with the program, then the user's own."""
    return RESOURCES / "drafts", cache_dir() / "drafts"


def path_for(info: ModelInfo) -> Path | None:
    """The file of the space of a model: the user's own before the program's; None if there is none.

    What is damaged or of another model is passed over and logged.
    """
    for folder in reversed(folders()):
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}"), reverse=True):
            if path.name.endswith(CHECKPOINT):
                continue
            try:
                with safe_open(path, framework="pt") as file:
                    card = msgspec.json.decode((file.metadata() or {})["card"], type=Card)
                require(card, info)
            except (OSError, SafetensorError, KeyError, ValueError) as error:
                _log.warning("%s is passed over: it is damaged (%s)", path.name, error)
            except UserError:
                continue
            else:
                return path
    return None


class _Told(msgspec.Struct, frozen=True):
    settings: Settings
    sentences: str
    epochs: list[Epoch]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training's last epoch on disk: a `draft_training.Keeper`. `sentences` is their digest."""

    path: Path
    settings: Settings
    sentences: str

    def load(self) -> Moment | None:
        """What was kept, or None where there is nothing.

        Raises
        ------
        UserError
            If the file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        what, do = f"Cannot go on from {self.path.name}", "Train anew, without resuming"
        try:
            with safe_open(self.path, framework="pt") as file:
                told = msgspec.json.decode((file.metadata() or {})["told"], type=_Told)
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            random = found.pop("random")
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UserError(what, "the file is damaged or cut short", do) from error
        if told.settings != self.settings or told.sentences != self.sentences:
            raise UserError(what, "it is of other settings or other sentences", do)
        optimizer: dict[int, dict[str, Tensor]] = {}
        vae: dict[str, Tensor] = {}
        for name, tensor in found.items():
            kind, _, rest = name.partition(".")
            if kind == "vae":
                vae[rest] = tensor
            else:
                index, _, key = rest.partition(".")
                optimizer.setdefault(int(index), {})[key] = tensor
        return Moment(told.epochs, vae, optimizer, random)

    def save(self, moment: Moment) -> None:
        """Write one in place of the last, whole or not at all."""
        tensors = {f"vae.{name}": tensor for name, tensor in moment.vae.items()}
        for index, each in moment.optimizer.items():
            tensors |= {f"optimizer.{index}.{key}": tensor for key, tensor in each.items()}
        told = msgspec.json.encode(_Told(self.settings, self.sentences, moment.epochs))
        kept = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
        write(self.path, {**kept, "random": moment.random}, {"told": told.decode()})

    def remove(self) -> None:
        """Forget it: the training came to its end, or begins anew."""
        self.path.unlink(missing_ok=True)


def checkpoint_of(out: Path) -> Path:
    """Where the checkpoint of a space to be written to `out` lies."""
    return out.with_name(out.name.removesuffix(SUFFIX) + CHECKPOINT)


def digest(texts: Sequence[str], **others: object) -> str:
    """A name for sentences and whatever else decides what is trained on."""
    found = hashlib.sha256("\n".join(texts).encode())
    found.update(repr(sorted(others.items())).encode())
    return found.hexdigest()


def described(card: Card) -> str:
    """A card as Markdown, for whoever meets the file without the program."""
    told: dict[str, Any] = msgspec.to_builtins(card.settings)
    texts = ", ".join(f"{name} ({count:,})" for name, count in card.data.items())
    lines = [
        f"# Sentence space of {card.title}",
        "",
        f"A variational autoencoder of {card.shape.latent} dimensions over short sentences, for "
        f"`{card.model}`"
        + (f" (weights SHA-256 {card.fingerprint[:16]}…)." if card.fingerprint else ".")
        + " Its encoder reads the model's input embeddings of at most 14 tokens; its decoder "
        "drafts a word for each place. The model, whose weights stay as they are, writes the "
        f"sentence: {card.weight:g} times the draft's log-probabilities are added to its own, and "
        "the likeliest sentence of the draft's length or longer is looked for with four beams.",
        "",
        f"- Sentences trained on: {texts}; {card.shape.words:,} different tokens, and it can write "
        "no others well.",
        f"- Settings: {', '.join(f'{name} {value}' for name, value in told.items())}.",
        f"- Made on {card.date} in {card.seconds / 60:.0f} minutes with torch {card.torch}: "
        f"`{card.command}`.",
        "- Kept in half precision; measured so.",
    ]
    if card.epochs:
        last = card.epochs[-1]
        lines.append(
            f"- In the last epoch: reconstruction {last.reconstruction:.2f} and KL {last.kl:.2f} "
            "nats a sentence."
        )
    return "\n".join([*lines, "", *table(card.held_out), ""])


def figures(card: Card) -> str:
    """How good a space is on held-out sentences, in a line; empty where it was not measured."""
    rows = card.held_out
    if not rows:
        return ""
    right, alone = (
        sorted(100 * value for value in values)
        for values in ([row.accuracy for row in rows], [row.model_accuracy for row in rows])
    )
    perplexities = sorted(row.perplexity for row in rows)
    active = min(row.active_units for row in rows)
    return (
        f"Held-out tokens right {_span(right, '.0f')} % (model alone {_span(alone, '.0f')} %) · "
        f"perplexity {_span(perplexities, '.1f')} · {active} of {card.shape.latent} units active"
    )


def _span(values: Sequence[float], form: str) -> str:
    least, most = format(values[0], form), format(values[-1], form)
    return least if least == most else f"{least}–{most}"


def table(rows: Sequence[Row]) -> list[str]:
    """What was measured, as the lines of a Markdown table."""
    if not rows:
        return []
    figures: tuple[tuple[str, Callable[[Row], str]], ...] = (
        ("sentences", lambda row: f"{row.sentences:,}"),
        ("token accuracy: with its point", lambda row: f"{row.accuracy:.3f}"),
        ("… with another sentence's point", lambda row: f"{row.other_accuracy:.3f}"),
        ("… the model alone", lambda row: f"{row.model_accuracy:.3f}"),
        ("… the draft alone", lambda row: f"{row.draft_accuracy:.3f}"),
        ("perplexity a token: with its point", lambda row: f"{row.perplexity:.2f}"),
        ("… with another sentence's point", lambda row: f"{row.other_perplexity:,.0f}"),
        ("… the model alone", lambda row: f"{row.model_perplexity:.1f}"),
        ("written back to the letter", lambda row: f"{row.exact:.2f} of {row.written}"),
        ("active units", lambda row: f"{row.active_units}"),
        ("KL, nats", lambda row: f"{row.kl:.1f}"),
    )
    head = "| held-out sentences of | " + " | ".join(row.label for row in rows) + " |"
    lines = [head, "|---|" + "---|" * len(rows)]
    for name, told in figures:
        lines.append(f"| {name} | " + " | ".join(told(row) for row in rows) + " |")
    return lines
