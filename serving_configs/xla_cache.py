"""The persistent compilation cache: published whole, and checked before a server may use it.

A server given a broken cache does not start: a truncated entry, one of another TensorFlow or an unusable
folder fails the warmup, and so the load. So a cache is a folder of entries with a manifest, written aside and
renamed, never changed afterwards (the server opens it read-only), and whoever starts a server compares the
manifest with the machine first. The emitted ``start-server.sh`` does the same in bash; tests hold both to the
same answers.

The manifest is a ``sha256sum`` file; the facts of the machine that compiled stand in its comments:

    # format=1
    # tensorflow=2.21.0
    # device=cpu
    # cpu=<SHA-256 of the sorted CPU feature names, one a line>
    # gpu=
    <SHA-256>  <entry>
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from exporter.choices import Device
from exporter.errors import OutputError, ServingError

MANIFEST = "genserve-cache.txt"
FORMAT = "1"
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Facts:
    """What a compiled program depends on, besides the graph.

    Attributes:
      tensorflow: the full version of the library that compiled, or will load.
      cpu: SHA-256 of the CPU's features.
      gpu: names and driver versions of the GPUs; empty for the CPU.
    """

    tensorflow: str
    device: Device
    cpu: str
    gpu: str = ""

    @property
    def folder(self) -> str:
        """The cache's name below the cache root: one per TensorFlow version and device type."""
        return f"{self.tensorflow}-{self.device}"

    def lines(self) -> list[str]:
        values = {
            "format": FORMAT,
            "tensorflow": self.tensorflow,
            "device": self.device,
            "cpu": self.cpu,
            "gpu": self.gpu,
        }
        return [f"# {name}={value}" for name, value in values.items()]


def machine_facts(device: Device) -> Facts:
    """The facts of this process's machine and installed TensorFlow; imports no TensorFlow."""
    return Facts(
        tensorflow=importlib.metadata.version("tensorflow"),
        device=device,
        cpu=cpu_features(_CPUINFO),
        gpu=_gpus() if device == "gpu" else "",
    )


def cpu_features(cpuinfo: Path) -> str:
    """SHA-256 of the feature names in a cpuinfo file ("flags" on x86, "Features" on Arm)."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
    names = sorted(set(found[1].split())) if found else []
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()


def _gpus() -> str:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServingError(f"nvidia-smi does not tell the GPUs of this machine: {error}") from None
    return ";".join(sorted(set(answer.stdout.splitlines())))


def _entries(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(scratch: Path, root: Path, facts: Facts) -> Path:
    """Turns a folder that a warmup has filled into the cache for ``facts``; replaces an older one.

    Args:
      scratch: on the file system of ``root``; moved, so gone afterwards.

    Raises:
      OutputError: nothing was compiled into ``scratch``.
    """
    entries = _entries(scratch)
    if not entries:
        raise OutputError(f"{scratch} holds no compiled program: the warmup compiled nothing")
    lines = facts.lines() + [f"{_digest(path)}  {path.relative_to(scratch)}" for path in entries]
    (scratch / MANIFEST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    root.mkdir(parents=True, exist_ok=True)
    target, old = root / facts.folder, root / f".{facts.folder}.old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def problem(directory: Path, facts: Facts) -> str | None:
    """Why a server must not use the cache in ``directory``; None when it may."""
    manifest = directory / MANIFEST
    if not os.access(manifest, os.R_OK):
        return f"no manifest {manifest}"
    lines = manifest.read_text(encoding="utf-8").splitlines()
    for expected in facts.lines():
        if expected not in lines:
            name = expected[2:].partition("=")[0]
            return f"it was compiled for another {name}"
    listed = [line.split("  ", 1) for line in lines if not line.startswith("#")]
    if len(listed) != len(_entries(directory)):
        return "files were added or are missing"
    for digest, name in listed:
        path = directory / name
        if not os.access(path, os.R_OK) or _digest(path) != digest:
            return "a file is damaged"
    return None


def flags(directory: Path) -> str:
    """The value of ``TF_XLA_FLAGS`` that makes TensorFlow read, and only read, a cache (2.19 and newer)."""
    return f"--tf_xla_persistent_cache_directory={directory} --tf_xla_persistent_cache_read_only=true"


def activate(root: Path, device: Device = "cpu") -> str | None:
    """Lets this process use the cache below ``root`` if it fits; call before TensorFlow is imported.

    Returns why it is not used, or None. Flags already in ``TF_XLA_FLAGS`` are kept.
    """
    facts = machine_facts(device)
    directory = root / facts.folder
    reason = problem(directory, facts)
    if reason is None:
        os.environ["TF_XLA_FLAGS"] = f"{os.environ.get('TF_XLA_FLAGS', '')} {flags(directory)}".strip()
    return reason
