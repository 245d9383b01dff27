#!/usr/bin/env python3
"""Prints pip constraints that pin every direct dependency, those of the extra ``export`` too, to the lowest
version its bound allows.

python scripts/lowest_versions.py pyproject.toml
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement


def lowest(dependencies: list[str]) -> list[str]:
    """``["keras>=3.5,<4"]`` -> ``["keras==3.5"]``; a dependency without a lower bound is an error."""
    pins = []
    for requirement in map(Requirement, dependencies):
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            raise SystemExit(f"{requirement}: needs exactly one lower bound (>=)")
        pins.append(f"{requirement.name}=={bounds[0]}")
    return pins


if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    export = project.get("optional-dependencies", {}).get("export", [])
    print("\n".join(lowest([*project["dependencies"], *export])))
