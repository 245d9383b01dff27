"""SentencePiece's compiled character map: reading its keys, and making small ones to ask the library with.

The blob is the size of a double-array trie, the trie's 32-bit units, and the values, each ended by a NUL.
A unit holds its label (the byte that leads to it), whether a value ends here, and where its children are.

Sources: sentencepiece src/normalizer.cc; darts-clone include/darts.h (the units).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_LABEL = 0x800000FF
_HAS_LEAF = 0x100
_VALUE = 0x7FFFFFFF


def parse_charsmap(encoded: str, longest: int) -> dict[str, str]:
    """Every key of at most ``longest`` bytes, with its value.

    Raises:
      ValueError: not a charsmap, or a key that is not UTF-8.
    """
    blob = base64.b64decode(encoded)
    size = struct.unpack_from("<I", blob)[0]
    units = np.frombuffer(blob, "<u4", size // 4, 4)
    values = blob[4 + size :]
    found: dict[str, str] = {}
    keys, nodes = [b""], _children(np.zeros(1, np.int64), units)
    for _ in range(longest):
        places = (nodes[:, None] ^ np.arange(256)).ravel()
        labels = np.tile(np.arange(256), len(nodes))
        inside = units[np.minimum(places, len(units) - 1)]
        hits = np.flatnonzero((places < len(units)) & (labels > 0) & (inside & _LABEL == labels))
        keys = [keys[hit // 256] + bytes([hit % 256]) for hit in hits.tolist()]
        nodes = _children(places[hits], units)
        for index in np.flatnonzero(units[places[hits]] & _HAS_LEAF).tolist():
            start = int(units[nodes[index]]) & _VALUE
            found[keys[index].decode()] = values[start : values.index(b"\0", start)].decode()
    return found


def _children(places: npt.NDArray[np.int64], units: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Where the children of the units at ``places`` start."""
    unit = units[places].astype(np.int64)
    return places ^ ((unit >> 10) << ((unit & 0x200) >> 6))


def make_charsmap(entries: Mapping[bytes, bytes]) -> bytes:
    """A charsmap of a few keys: every node has 256 places of its own, so that none can collide."""
    units = [0] * 512
    units[0] = 256 << 10
    bases = {b"": 256}
    values = b""
    for key in sorted({entry[: end + 1] for entry in entries for end in range(len(entry))}):
        base = len(units)
        units += [0] * 256
        bases[key] = base
        place = bases[key[:-1]] ^ key[-1]
        units[place] = (place ^ base) << 10 | key[-1]
        if key in entries:
            units[place] |= _HAS_LEAF
            units[base] = len(values) | 1 << 31
            values += entries[key] + b"\0"
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + values


def make_charsmap_text(entries: Mapping[bytes, bytes]) -> str:
    """``make_charsmap`` as a tokenizer.json holds it."""
    return base64.b64encode(make_charsmap(entries)).decode()
