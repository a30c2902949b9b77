"""Run in a process of its own by test_memory_view.py: the window and its engine, short of memory.

Prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "engine"), str(HERE.parents[1])]
os.environ["QT_QPA_PLATFORM"] = "offscreen"

import limited  # noqa: E402
import psutil  # noqa: E402
import tinymodels  # noqa: E402

from engine import memory  # noqa: E402
from engine.engine import Engine  # noqa: E402
from gui.app import make_application  # noqa: E402
from gui.bridge import Bridge  # noqa: E402
from gui.session import Session  # noqa: E402
from gui.settings import Settings, SettingsFile  # noqa: E402
from gui.window import MainWindow  # noqa: E402


def main(folder: Path) -> dict[str, object]:
    source = limited.made("llama", folder)
    app = make_application()
    session, bridge = Session(), Bridge()
    settings = Settings(token_limit=4000)
    window = MainWindow(session, bridge, settings, SettingsFile(folder / "settings.json"))
    window.show()
    bridge.start()

    def wait(done):
        until = time.monotonic() + 120
        while not done():
            assert time.monotonic() < until, (window.status.words, window.message)
            app.processEvents()
            time.sleep(0.01)

    def live():
        latest = window.controller.latest
        return latest is not None and latest.request.text == session.text and (
            "live" in window.status.words
        )  # fmt: skip

    session.set_text(tinymodels.TEXT)
    window.open_model(str(source.folder), device="cpu")
    wait(live)
    before = window.controller.latest
    limit = psutil.Process().memory_info().vms + 100 * limited.MB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    room = memory.room
    said = []
    for there in (room, lambda _device: memory.Room(1 << 40, 1 << 40, "this machine")):
        memory.room = there
        session.set_text(limited.LONG + str(len(said)))
        wait(lambda: window.panels["attention"].message not in ("", *said))
        said.append(window.panels["attention"].message)
        assert "stale" in window.status.words
        assert window.panels["attention"].state == "picture"
        assert window.controller.latest is before
    # Counted where it runs: a panel may ask once more, and only the last answer reaches the window.
    runs = []
    run = Engine._run

    def watched(*args):
        found = run(*args)
        runs.append(found[1])
        return found

    Engine._run = watched
    session.set_text(tinymodels.TEXT + " dog")
    wait(live)
    message = window.panels["attention"].message
    window.close()
    return {
        "before": len(before.tokens),
        "said": said,
        "reused": runs[0].reused,
        "message": message,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
