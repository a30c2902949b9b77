"""What a model of the laboratory is, and how it is trained. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import msgspec

from engine.errors import UserError
from engine.lab.tasks.spec import task_specs

Arch = Literal["transformer", "lstm"]
Positions = Literal["rotary", "learned"]

WHAT = "Cannot train this model"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides which weights come out, besides the texts.

    Parameters
    ----------
    arch, task : str
        ``transformer`` or ``lstm``, and what it is to learn.
    options : mapping
        The task's own choices, all of them; see `task_specs`.
    layers, heads, width, inner : int
        Blocks, attention heads of each (0 for an LSTM), D, and the width of the hidden layer of
        each block's MLP: 0 for attention alone.
    positions : str
        How a transformer knows them: ``rotary`` (Su et al. 2021) or ``learned``.
    steps, batch : int
        How many updates, and rows of each.
    rate, decay, clip : float
        Adam's learning rate at its highest, its decay of matrices (AdamW; 0 is Adam), and the
        length that gradients are clipped to.
    warm_up, fall : float
        Shares of all steps: over the first the rate rises, over the last it falls to a tenth.
    check_every : int
        Steps between two points of the curves; 0 for fifty points. A power of two has one too.
    seed : int
        Of the first weights and of the rows. The same seed gives the same weights on the same
        machine with the same number of threads.
    """

    arch: Arch = "transformer"
    task: str = "repeat"
    options: dict[str, Any] = field(default_factory=dict)
    layers: int = 2
    heads: int = 4
    width: int = 64
    inner: int = 0
    positions: Positions = "rotary"
    steps: int = 800
    batch: int = 32
    rate: float = 1e-2
    decay: float = 0.0
    clip: float = 1.0
    warm_up: float = 0.05
    fall: float = 0.2
    check_every: int = 0
    seed: int = 0

    @property
    def every(self) -> int:
        """Steps between two points of the curves."""
        return self.check_every or max(1, round(self.steps / 50))


def settings_for(arch: str, task: str, **said: Any) -> Settings:
    """Complete what was said with what the task is known to be learnt with, and check it.

    Parameters
    ----------
    said
        Fields of `Settings` and of the task's options, by name; None is the same as nothing.

    Raises
    ------
    UserError
        If there is no such architecture or task, or a number cannot be.
    """
    specs = task_specs()
    if arch not in get_args(Arch):
        raise UserError(WHAT, f"there is no architecture {arch}", _choose(get_args(Arch)))
    if task not in specs:
        raise UserError(WHAT, f"there is no task {task}", _choose(tuple(specs)))
    given = {name: value for name, value in said.items() if value is not None}
    spec = specs[task]
    own = {one.name for one in fields(spec.options)}
    known = {one.name for one in fields(Settings)}
    strange = sorted(set(given) - own - known)
    if strange:
        raise UserError(
            WHAT,
            f"the task {task} has no {strange[0].replace('_', ' ')} to choose",
            f"It has: {', '.join(sorted(own))}",
        )
    chosen = {name: value for name, value in given.items() if name in own}
    options = msgspec.to_builtins(spec.options(**chosen))
    if arch == "lstm":
        for name in ("heads", "inner", "positions"):
            if name in given:
                told = {"inner": "MLP"}.get(name, name)
                raise UserError(WHAT, f"an LSTM has no {told}", "Leave that out")
    found = Settings(arch=arch, task=task, options=options)  # type: ignore[arg-type]
    found = replace(found, **spec.defaults.get(arch, {}))
    if arch == "lstm":
        found = replace(found, heads=0, inner=0)
    found = replace(found, **{name: given[name] for name in given if name in known})
    check(found)
    return found


def check(settings: Settings) -> None:
    """Raise `UserError` if no model or training can be made of `settings`."""
    for name in ("layers", "width", "steps", "batch"):
        if getattr(settings, name) < 1:
            raise UserError(WHAT, f"{name} is {getattr(settings, name)}", "Choose 1 or more")
    for name in ("inner", "decay", "check_every", "seed"):
        if getattr(settings, name) < 0:
            told = name.replace("_", " ")
            raise UserError(WHAT, f"{told} is {getattr(settings, name)}", "Choose 0 or more")
    for name in ("rate", "clip"):
        if not getattr(settings, name) > 0:
            told = name.replace("_", " ")
            raise UserError(WHAT, f"{told} is {getattr(settings, name):g}", "Choose more than 0")
    if settings.arch == "lstm":
        return
    if settings.heads < 1:
        raise UserError(WHAT, f"heads is {settings.heads}", "Choose 1 or more")
    if settings.width % settings.heads:
        raise UserError(
            WHAT,
            f"a width of {settings.width} cannot be shared out among {settings.heads} heads",
            "Choose a width that the number of heads divides",
        )
    if settings.positions == "rotary" and settings.width // settings.heads % 2:
        raise UserError(
            WHAT,
            f"rotary positions turn pairs of dimensions, and a head has "
            f"{settings.width // settings.heads}",
            "Choose an even number for each head, or learned positions",
        )


def differing(theirs: Settings, ours: Settings) -> str:
    """In words, what of `ours` is not as in `theirs`; empty if nothing."""
    old, new = _flat(theirs), _flat(ours)
    return ", ".join(
        f"{name.replace('_', ' ')} {old[name]}, not {new.get(name)}"
        for name in old
        if old[name] != new.get(name)
    )


def _flat(settings: Settings) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(settings)
    options: dict[str, Any] = told.pop("options")
    return {**told, **options}


def _choose(names: tuple[str, ...]) -> str:
    return f"Choose one of: {', '.join(names)}"
