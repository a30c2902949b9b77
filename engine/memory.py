"""How much memory there is, and what to do when it is full.

What would not fit is refused beforehand (engine/estimate.py says how much that is). But nobody
knows what an allocator rounds up to, or what another program takes meanwhile, so memory may still
run out: `ran_out` knows that by any of its names.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

from engine.models.sources.amounts import size_text

MACHINE = "this machine"

_UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are `free` of a `total`, and what sets the bound, in words."""

    free: int
    total: int
    bound: str


def room(device: torch.device, root: Path = Path("/")) -> Room:
    """What a device can still give, by the narrowest of the bounds that hold for this process.

    On the CPU: what the machine has left, the limit of the control group (a container's, say), and
    the process's own limits on its address space and data (``ulimit -v``, ``-d``).
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        # torch keeps what it has freed, for its own next use.
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return Room(free + spare, total, str(device))
    found = list(_of_machine(root))
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        found.append(Room(total - torch.mps.driver_allocated_memory(), total, str(device)))
    narrowest = min(found, key=lambda one: one.free)
    return Room(max(0, narrowest.free), narrowest.total, narrowest.bound)


def resident() -> int:
    """Bytes of main memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def _of_machine(root: Path) -> Iterator[Room]:
    machine = psutil.virtual_memory()
    yield Room(int(machine.available), int(machine.total), MACHINE)
    yield from _of_groups(root)
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, name, words in (
        (resource.RLIMIT_AS, "vms", "the address space allowed to this process"),
        (resource.RLIMIT_DATA, "data", "the data allowed to this process"),
    ):
        most = resource.getrlimit(limit)[0]
        if most == resource.RLIM_INFINITY:
            continue
        taken = psutil.Process().memory_info()
        if hasattr(taken, name):
            yield Room(most - int(getattr(taken, name)), most, words)


def _of_groups(root: Path) -> Iterator[Room]:
    """Limits of the control groups this process is in, of both versions."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            files, top = ("memory.max", "memory.current", "inactive_file"), mount
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            top = mount / "memory"
        else:
            continue
        # A container sees its own group as the top one, whatever path it is told.
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            found = _of_group(folder, *files)
            if found is not None:
                yield found
            if folder == top:
                break


def _of_group(folder: Path, limit: str, usage: str, inactive: str) -> Room | None:
    try:
        most = int((folder / limit).read_text(encoding="ascii"))
        used = int((folder / usage).read_text(encoding="ascii"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None  # no such file, or "max"
    if most >= _UNLIMITED:
        return None
    # Pages of files that nobody reads now are given up first.
    return Room(most - used + int(stat.get(inactive, 0)), most, "the container")


# --- when it is full -----------------------------------------------------------------------------

_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "could not create a memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
)


def ran_out(error: BaseException | None) -> bool:
    """Whether an error says that there is no memory left, itself or what it came of."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            return True
        said = str(error).lower()
        if isinstance(error, (RuntimeError, OSError)) and any(word in said for word in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.empty_cache()


def ways_out(there: Room, device: torch.device, itemsize: int, first: str) -> str:
    """What a user can do: `first`, and what helps besides with numbers of `itemsize` bytes."""
    ways = [first[0].upper() + first[1:]]
    if itemsize > 2:
        ways.append("choose half precision (Model ▸ Precision)")
    if device.type != "cpu":
        ways.append("choose the device cpu")
    elif torch.accelerator.is_available():
        ways.append(f"choose the device {torch.accelerator.current_accelerator()}")
    if there.bound in (MACHINE, str(device)):
        ways.append("close other programs")
    return " or ".join(filter(None, (", ".join(ways[:-1]), ways[-1])))


def shortage(need: int, there: Room) -> str:
    """Why something is refused, as the middle of a sentence."""
    free = size_text(there.free)
    return f"it takes about {size_text(need)}, and {free} of {there.bound} are free"
