"""The documents at the repository's root as pages of the site, and the links that lead to them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: Document at the root -> its page; a link to README.md leads to the front page.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_TOUR = "## A five-minute tour\n"
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)")


def pages() -> dict[str, str]:
    """Page -> Markdown. The README's tour is a page of its own."""
    found = {page: _read(name) for name, page in PAGES.items()}
    before, _, rest = found["index.md"].partition(_TOUR)
    tour, _, after = rest.partition("\n## ")
    link = f"{_TOUR}\n[The tour](tour.md): export, serve, ask and verify the demo checkpoints.\n"
    found["index.md"] = f"{before}{link}\n## {after}"
    found["tour.md"] = _TOUR.removeprefix("#") + tour
    return found


def _read(name: str) -> str:
    return linked((ROOT / name).read_text(encoding="utf-8"), name)


def linked(markdown: str, source: str) -> str:
    """The links of a document (its path from the repository's root) as the site has their targets."""
    folder = posixpath.dirname(source)
    page = PAGES.get(source, source.removeprefix("docs/"))

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        there = PAGES.get(path, path.removeprefix("docs/"))
        return match[1] + posixpath.relpath(there, posixpath.dirname(page) or ".")

    return _LINK.sub(target, markdown)
