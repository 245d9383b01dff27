"""A text in many languages, put together from the XML files of https://github.com/unicode-org/udhr.

Each file is the Universal Declaration of Human Rights in one language: ``<udhr><title>...</title><preamble>
<para>...</para>...``. The text is a line for every element with text of its own, white space collapsed, file
after file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import ParseError

__all__ = ["ParseError", "assemble"]


def assemble(parts: Iterable[bytes]) -> bytes:
    """The lines of all files.

    Raises:
      ParseError: a part is no XML.
    """
    return "".join(f"{line}\n" for part in parts for line in _lines(part)).encode()


def _lines(xml: bytes) -> Iterator[str]:
    for element in ElementTree.fromstring(xml).iter():
        line = " ".join((element.text or "").split())
        if line:
            yield line
