"""The peers' virtual environments, made beside the project's own and kept until their packages change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scripts.benchmarks.peers import ENVIRONMENTS


def python_of(name: str, root: Path) -> Path:
    """The interpreter of an environment, which is made on the first call.

    Args:
      name: key of ``ENVIRONMENTS``; "main" is the running interpreter's own.
      root: the directory that holds ``.venv-bench-NAME``.

    Raises:
      subprocess.CalledProcessError: pip could not install a package.
    """
    if name == "main":
        return Path(sys.executable)
    directory = root / f".venv-bench-{name}"
    python, stamp = directory / "bin" / "python", directory / ".stamp"
    wanted = "\n".join(ENVIRONMENTS[name])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *ENVIRONMENTS[name]], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python
