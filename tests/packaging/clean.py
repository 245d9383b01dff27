"""A virtual environment with a built wheel and what its metadata asks for, and nothing else.

No index is needed: the dependencies are links to those of the environment that runs the tests. Its other
packages (torch, pytest, the checkout itself) cannot be seen from there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# A user's environment has none of these: the tests' own would hide what a user sees.
_OURS = ("PYTHON", "TF_CPP_", "CUDA_", "TRANSFORMERS_", "TOKENIZERS_", "GENSERVE_LOG")


def requirements(dist: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution needs here, with some of its extras."""
    for requirement in map(Requirement, dist.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def closure(dist: Distribution, extras: frozenset[str]) -> dict[str, Distribution]:
    """Every installed distribution that one depends on, by name."""
    found: dict[str, Distribution] = {}
    seen = set()
    waiting = [(dist, extras)]
    while waiting:
        for requirement in requirements(*waiting.pop()):
            key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if key not in seen:
                seen.add(key)
                found[key[0]] = distribution(key[0])
                waiting.append((found[key[0]], key[1]))
    return found


def make_environment(directory: Path, wheel: Path, extras: frozenset[str]) -> Path:
    """Installs a wheel with pip, which wants every requirement there; returns the folder of programs."""
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(directory)}))
    for dist in closure(Distribution.at(_unpacked_metadata(wheel, directory)), extras).values():
        for top in {file.parts[0] for file in dist.files or ()} - {"..", "__pycache__"}:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(str(dist.locate_file(top))))
    command = ["--disable-pip-version-check", "install", "--quiet", "--no-index"]
    target = f"{wheel}[{','.join(sorted(extras))}]" if extras else str(wheel)
    result = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), *command, target],
        capture_output=True,
        text=True,
        check=False,
        env=user_environment(),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return python.parent


def _unpacked_metadata(wheel: Path, directory: Path) -> Path:
    """The wheel's ``.dist-info``, unpacked."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        archive.extract(metadata, directory / "metadata")
    return (directory / "metadata" / metadata).parent


def user_environment() -> dict[str, str]:
    """This process' environment variables without the tests' own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
