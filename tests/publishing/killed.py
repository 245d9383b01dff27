"""Publishes tiny versions in child processes that kill themselves, and looks at what is left each time.

``python -m tests.publishing.killed FOLDER boundaries|moments [force]`` prints one line per kill; it loads
nothing but the publishing room, so that a fork takes a millisecond.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from exporter.publishing import staged_version

FILES = {"saved_model.pb": "graph", "variables/variables.index": "index", "assets.extra/genserve.json": "{}"}
SEED = 20260117
CHANGES = ("os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.unlink", "shutil.rmtree", "open", "os.utime")


def publish(servable: Path, *, force: bool, generation: str, pause: float = 0.0) -> None:
    """Version 1, file by file; ``generation`` shows in every file."""
    with staged_version(servable, 1 if force else None, force=force) as staged:
        for name, text in FILES.items():
            path = staged.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{text} {generation}")
            time.sleep(pause)


def check(servable: Path) -> dict[str, str]:
    """Every numbered folder is whole: returns number -> generation."""
    found = {}
    for child in servable.iterdir() if servable.exists() else ():
        if not child.name.isdecimal():
            continue
        generations = set()
        for name, text in FILES.items():
            content = (child / name).read_text()
            assert content.startswith(text + " "), (child, name, content)
            generations.add(content.split()[-1])
        assert len(generations) == 1, (child, generations)
        found[child.name] = generations.pop()
    return found


def in_child(work: Callable[[], None]) -> tuple[int, int]:
    """Runs ``work`` in a fork: (pid, wait status)."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid, os.waitpid(pid, 0)[1]


def kill_before(event: int, work: Callable[[], None]) -> None:
    """Runs ``work`` and kills this process right before its ``event``-th change of the file system."""
    seen = 0

    def hook(name: str, _: object) -> None:
        nonlocal seen
        if name in CHANGES:
            seen += 1
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    work()


def kill_after(seconds: float, work: Callable[[], None]) -> None:
    threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    work()
    time.sleep(5)


def one(folder: Path, kill: Callable[[Callable[[], None]], None], *, force: bool, pause: float) -> bool:
    """Kills one export and runs the next; whether the export had been killed at all."""
    servable = folder / "m"
    shutil.rmtree(servable, ignore_errors=True)
    if force:
        publish(servable, force=True, generation="old")
    _, status = in_child(lambda: kill(lambda: publish(servable, force=force, generation="new", pause=pause)))
    assert status in (0, signal.SIGKILL), status
    left = check(servable)
    publish(servable, force=False, generation="next")  # not of that number: 1 must be as it was, or new
    after = check(servable)
    assert left.items() <= after.items(), (left, after)
    if force:
        assert after["1"] in ("old", "new"), after
    assert sorted(after.values())[-1] in ("next", "old", "new")
    assert "next" in after.values()
    assert sorted(path.name for path in servable.iterdir()) == sorted(after), list(servable.iterdir())
    print(f"killed {status != 0}: left {left}, then {after}")
    return status != 0


def main(folder: Path, how: str, force: bool) -> None:
    if how == "moments":
        started = time.monotonic()
        publish(folder / "measured", force=False, generation="new", pause=0.015)
        longest, moments = 1.2 * (time.monotonic() - started), random.Random(SEED)
        for _ in range(20):
            seconds = moments.uniform(0, longest)
            one(folder, lambda work, s=seconds: kill_after(s, work), force=force, pause=0.015)  # type: ignore[misc]
        return
    event = 0
    killed = True
    while killed:
        event += 1
        killed = one(folder, lambda work, e=event: kill_before(e, work), force=force, pause=0.0)  # type: ignore[misc]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], "force" in sys.argv[3:])
