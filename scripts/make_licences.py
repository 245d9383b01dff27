"""Writes docs/licences.md: what genserve asks for, and the licence that each package says of itself.

    python scripts/make_licences.py [--check]

Licences are read from the metadata of installed packages. The row of one that is not installed here stays as
the page has it; where the page has none, it is an error that names the package. ``--check`` writes nothing,
and fails where the page misses a package or lists one that is no longer asked for.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "licences.md"
COMMAND = "python scripts/make_licences.py"
BASE = "the base install"
#: Extras of those who work on genserve.
OURS = {"docs", "kit", "pictures", "real", "references", "test"}

INTRODUCTION = f"""\
# Licences of dependencies

<!-- Written by `{COMMAND}` from pyproject.toml and the packages' own metadata; do not edit. -->

genserve is Apache-2.0 (LICENSE). These are the packages that it asks an installer for, with the licences that
they state; what they ask for themselves is not listed, nor is what only work on genserve needs.
"""


def asked_for() -> dict[str, list[str]]:
    """Package -> the extras for use, or the base install, that ask for it directly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {BASE: project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for group in (group for group in groups if group not in OURS):
        for name in {canonicalize_name(Requirement(line).name) for line in groups[group]}:
            found.setdefault(name, []).append(group)
    return dict(sorted(found.items()))


def licence(package: Mapping[str, str], classifiers: Iterable[str]) -> str:
    """The SPDX expression; else a short ``License`` field; else the classifiers, which say it in words."""
    words = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: OSI")]
    stated = (package.get("License") or "").strip()
    short = stated if len(stated) < 60 and "\n" not in stated else ""
    return package.get("License-Expression") or short or "; ".join(words)


def rows(page: str) -> dict[str, str]:
    """Package -> its licence, as a page has them."""
    return dict(re.findall(r"(?m)^\| `([\w-]+)` \| (.+?) \|", page))


def licences(names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Of every package, by its metadata or as ``known``; a package with neither ends the program."""
    found = {}
    for name in names:
        try:
            package = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            found[name] = known.get(name, "")
        else:
            fields = {key: package[key] for key in ("License-Expression", "License") if key in package}
            found[name] = licence(fields, package.get_all("Classifier") or ())
    if missing := [name for name, text in found.items() if not text]:
        raise SystemExit(f"not installed, or without a licence in their metadata: {', '.join(missing)}")
    return found


def page(groups: Mapping[str, list[str]], texts: Mapping[str, str]) -> str:
    lines = ["| package | licence | asked for by |", "|---|---|---|"]
    for name, names in groups.items():
        extras = ", ".join(group if group == BASE else f"`{group}`" for group in names)
        lines.append(f"| `{name}` | {texts[name].replace('|', '/')} | {extras} |")
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def main() -> int:
    groups = asked_for()
    known = rows(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    if "--check" in sys.argv[1:]:
        if differ := sorted(known.keys() ^ groups.keys()):
            print(f"{TARGET.name} is out of date ({', '.join(differ)}): {COMMAND}", file=sys.stderr)
        return bool(differ)
    TARGET.write_text(page(groups, licences(groups, known)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
