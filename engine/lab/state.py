"""All that a run goes on from after a kill, in one safetensors file.

The weights and Adam's moments. Of random numbers nothing is kept but the step: the rows of a step
are drawn with a generator made of the seed and the step's number, and nothing else is random.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.lab.runs import FORMAT, STATE
from engine.latent.tensors import write


@dataclass(slots=True, eq=False)
class State:
    """Where a run is after `step` updates and `seconds`; `optimizer` by the weight's place."""

    step: int
    seconds: float
    model: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]


class _Told(msgspec.Struct, frozen=True):
    step: int
    seconds: float
    format: int = FORMAT


def save_state(folder: Path, state: State) -> None:
    """Write it in place of the one before, whole or not at all."""
    tensors = {f"model.{name}": value for name, value in state.model.items()}
    for place, moments in state.optimizer.items():
        tensors |= {f"optimizer.{place}.{name}": value for name, value in moments.items()}
    # Copies, as some weights may share their memory.
    copies = {name: value.detach().cpu().clone() for name, value in tensors.items()}
    told = msgspec.json.encode(_Told(state.step, state.seconds)).decode()
    write(folder / STATE, copies, {"told": told})


def load_state(folder: Path) -> State | None:
    """The last one saved; None if there is none.

    Raises
    ------
    UserError
        If it is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    what, do = f"Cannot go on from {path}", "Remove the folder and train anew"
    try:
        with safe_open(path, "pt") as file:
            told = msgspec.json.decode((file.metadata() or {})["told"], type=_Told)
            found: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        state = State(told.step, told.seconds, {}, {})
        for name, tensor in found.items():
            kind, rest = name.split(".", 1)
            if kind == "model":
                state.model[rest] = tensor
            else:
                place, moment = rest.split(".")
                state.optimizer.setdefault(int(place), {})[moment] = tensor
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(what, "the file is damaged or cut short", do) from error
    if told.format != FORMAT:
        raise UserError(what, "another version of the program wrote it", do)
    return state


def take_state(state: State, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a model and its optimizer where they were.

    Raises
    ------
    UserError
        If the state is of another model.
    """
    try:
        model.load_state_dict(state.model)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            "Cannot go on with this run",
            "what it left is of another model",
            "Remove the folder and train anew",
        ) from error
