"""Who a half-written version belongs to, and whether he is still there.

An owner's name is ``HOST-PLACE-PID-START-RANDOM``: PLACE stands for the boot of the machine and the PID
namespace (the container), START is the process's start time. Only a process of the same host and place can
be looked up; another one is known by its heartbeat, the folder's modification time, renewed every minute.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: How often a running export touches its folder, and after how long without that it counts as gone.
HEARTBEAT_SECONDS = 60.0
GONE_SECONDS = 15 * 60.0

_NAME = re.compile(r"(?P<host>.+)-(?P<place>[0-9a-f]{8}|unknown)-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}")


@dataclass(frozen=True)
class Owner:
    """A process of some host, and the name that it gives to what it writes."""

    name: str
    host: str
    place: str
    pid: int
    start: int

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """The owner of that name; None for a name that no export gave."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(name, match["host"], match["place"], int(match["pid"]), int(match["start"]))

    def gone(self, silent_seconds: float, limit: float = GONE_SECONDS) -> bool:
        """Whether it does not run anymore; its folder was last touched ``silent_seconds`` ago."""
        if self.place != "unknown" and (self.host, self.place) == (host(), place()):
            return start_time(self.pid) != self.start
        return silent_seconds > limit

    def __str__(self) -> str:
        return f"process {self.pid} of host {self.host}"


def own() -> Owner:
    """This process, under a name that no other call gets."""
    pid, suffix = os.getpid(), uuid.uuid4().hex[:8]
    start = start_time(pid) or 0
    return Owner(f"{host()}-{place()}-{pid}-{start}-{suffix}", host(), place(), pid, start)


def host() -> str:
    """This host's name, as far as it can stand in a file name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname()) or "localhost"


def place() -> str:
    """Where process ids mean the same: this boot of this machine and this PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        facts = f"{boot}{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown"
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None for one that has ended.

    Raises:
      OSError: it could not be looked up, which tells nothing about the process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the command's name in parentheses, may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@contextmanager
def heartbeat(folder: Path) -> Iterator[None]:
    """Touches ``folder`` every minute, so that other hosts see that its owner works on."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(folder)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
