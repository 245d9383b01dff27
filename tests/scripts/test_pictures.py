"""The pictures of README and docs/: there, whole, small, and neutral; and how they are made."""

from __future__ import annotations

import ipaddress
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT

IMAGES = ROOT / "docs" / "images"
PICTURES = sorted(path for path in IMAGES.glob("*") if path.suffix in {".svg", ".png"})
MOST_BYTES = 300_000
SVG = "http://www.w3.org/2000/svg"
#: Folders of a machine, and names of those who used it.
_PATHS = re.compile(r"(?<![\w.:/])/(?:home|root|work|tmp|mnt|Users|opt|srv|data)\b")


def _referenced() -> Iterator[tuple[Path, str, str]]:
    """(page, alt text, target) of every picture that README and docs/ show from this repository."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", text):
            yield page, alt, target
        for tag in re.findall(r"<img\b[^>]*>", text):
            found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            yield page, found.get("alt", ""), found["src"]


def _words(path: Path) -> str:
    """What can be read in a picture's file: text nodes and attributes, or PNG's text chunks."""
    if path.suffix == ".svg":
        return path.read_text(encoding="utf-8").replace("&#160;", " ")
    texts = [data for kind, data in _chunks(path) if kind in {"tEXt", "iTXt", "zTXt"}]
    return " ".join(data.decode("latin-1") for data in texts)


def _chunks(path: Path) -> Iterator[tuple[str, bytes]]:
    """Of a PNG (RFC 2083, section 3): type and data, their sums checked."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    place = 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        body = content[place + 4 : place + 8 + length]
        assert zlib.crc32(body) == struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0]
        yield body[:4].decode("ascii"), body[4:]
        place += 12 + length


def test_what_the_pages_show_is_there_and_has_an_alt_text() -> None:
    shown = list(_referenced())
    assert shown
    for page, alt, target in shown:
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"
        assert alt.strip(), f"{page.name}: {target} has no alt text"
    assert {(page.parent / target).resolve() for page, _, target in shown} >= set(PICTURES)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_whole_small_and_neutral(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    if path.suffix == ".svg":
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{{{SVG}}}svg"
        addresses = [value for node in root.iter() for key, value in node.items() if key.endswith("href")]
        assert all(address.startswith("#") for address in addresses)
        assert "url(http" not in _words(path).replace('"', "")
    else:
        kinds = [kind for kind, _ in _chunks(path)]
        assert (kinds[0], kinds[-1]) == ("IHDR", "IEND")
    words = _words(path)
    assert _PATHS.findall(words) == []
    found = [ipaddress.ip_address(text) for text in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", words)]
    assert [address for address in found if address.is_private and not address.is_loopback] == []


def test_a_terminal_shows_what_a_person_would_see(tmp_path: Path) -> None:
    pytest.importorskip("pexpect")
    pytest.importorskip("pyte")
    from scripts.pictures.terminal import Terminal, environment

    with Terminal(tmp_path, environment(tmp_path), columns=40) as terminal:
        terminal.run("printf 'a\\rb\\n'; printf '\\033[31mred\\033[0m <&>\\n'")
        terminal.run("seq 1 \\", "    9", most=3)
        terminal.type("read -p '? ' word", r"[\r\n]\? \Z")
        terminal.run("said")
        shown, svg = terminal.text(), terminal.svg("a title")
    assert shown.splitlines() == [
        "$ printf 'a\\rb\\n'; printf '\\033[31mred\\0",
        "33[0m <&>\\n'",
        "b",
        "red <&>",
        "$ seq 1 \\",
        ">     9",
        "1",
        "2",
        "... 7 more lines",
        "$ read -p '? ' word",
        "? said",
    ]
    words = [node.text for node in ElementTree.fromstring(svg).iter(f"{{{SVG}}}text")]
    assert "a title" in [(text or "").replace("\xa0", " ") for text in words]
    assert "red" in words
    assert set(re.findall(r"https?://[^\s\"]+", svg)) == {SVG, "https://www.textualize.io"}
