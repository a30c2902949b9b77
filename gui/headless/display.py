"""Whether there is a screen to open a window on, asked before Qt is: Qt aborts the process."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from engine.errors import UserError

_X_SOCKETS = Path("/tmp/.X11-unix")
_X_PORT = 6000


def require_display(environment: Mapping[str, str] = os.environ) -> None:
    """Do nothing where a window can be opened.

    Raises
    ------
    UserError
        On Linux and its kin, where no display is named, or an X server that does not answer.
    """
    if sys.platform in ("win32", "darwin") or environment.get("QT_QPA_PLATFORM"):
        return  # there is one, or the user knows better
    if environment.get("WAYLAND_DISPLAY"):
        return
    what = "Cannot open the window"
    do = "Start it in a desktop session, or use `python main.py export`, which needs no screen"
    display = environment.get("DISPLAY", "")
    if not display:
        raise UserError(what, "no screen is named by DISPLAY or WAYLAND_DISPLAY", do)
    if not _answers(display):
        raise UserError(what, f"no X server answers at {display}", do)


def _answers(display: str) -> bool:
    """Whether something listens where an X server of that name would."""
    host, _, rest = display.rpartition(":")
    number = rest.partition(".")[0]
    if not number.isdigit():
        return False
    if host in ("", "unix"):
        # Abstract sockets are how Linux's servers listen first; others use the file.
        return any(
            _connects(socket.AF_UNIX, place)
            for place in (f"\0{_X_SOCKETS / f'X{number}'}", str(_X_SOCKETS / f"X{number}"))
        )
    try:
        with socket.create_connection((host, _X_PORT + int(number)), timeout=5):
            return True
    except OSError:
        return False


def _connects(family: int, place: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.settimeout(5)
            tried.connect(place)
            return True
    except OSError:
        return False
