"""Vocabularies, and random answers that a table lets through."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from exporter.guides import GuideTable

#: Every byte, pieces that cross the borders of JSON and of characters, and two special tokens.
PIECES = [
    b"", b"",
    *(bytes([byte]) for byte in range(256)),
    b'{"', b'": ', b'", "', b'"}', b"}]", b"[[", b", ", b": ", b'"]', b'{"a', b'": 1',
    b"true", b"alse", b"null",
    b"12", b"123", b"00", b"-1", b"0.", b".5", b"e1", b"\xe6\x97", b"\xa5\xe6\x9c", b"\xac", "日本".encode(),
    b"\xf0\x9f", b"\x98\x80", "é".encode(), b"caf\xc3", b"\\n", b'\\"', b"\\", b"abc", b" ab", b"  ", b"kind",
    b'e": "c',
]  # fmt: skip
EOS = 0
SPECIAL = [0, 1]


def distances(table: GuideTable) -> np.ndarray:
    """int [states]: how many tokens the shortest way to the end has."""
    far = np.iinfo(np.int32).max // 2
    distance = np.full(table.states + 1, far)  # the last is what a forbidden token leads to
    distance[table.states - 1] = 0
    while True:
        nearer = np.minimum(distance[:-1], distance[table.next_state].min(axis=1) + 1)
        if (nearer == distance[:-1]).all():
            return nearer
        distance[:-1] = nearer


def drawn(table: GuideTable, eos: int, count: int, seed: int, *, most: int = 60) -> list[list[int]]:
    """Whole answers without their ends: tokens of random classes, the shortest way out from time to time."""
    rng = random.Random(seed)
    distance = distances(table)
    by_class = [np.flatnonzero(table.token_class == kind) for kind in range(table.classes)]
    rows = []
    for _ in range(count):
        state, tokens = 0, []
        hurry = rng.choice([0.02, 0.2, 0.6])
        while not tokens or tokens[-1] != eos:
            kinds = np.flatnonzero(table.next_state[state] >= 0).tolist()
            assert kinds, state
            if len(tokens) > most or rng.random() < hurry:
                kinds = [min(kinds, key=lambda kind: distance[table.next_state[state, kind]])]
            kind = rng.choice(kinds)
            tokens.append(int(rng.choice(by_class[kind])))
            state = int(table.next_state[state, kind])
        assert state == table.states - 1
        rows.append(tokens[:-1])
    return rows


def answers(table: GuideTable, vocabulary: Sequence[bytes], eos: int, count: int, seed: int) -> list[bytes]:
    """The texts of such answers."""
    return [b"".join(vocabulary[token] for token in row) for row in drawn(table, eos, count, seed)]


def spelled(table: GuideTable, vocabulary: Sequence[bytes], eos: int, text: bytes) -> bool:
    """Whether a text gets through in the longest tokens that fit, and may end there."""
    order = sorted((piece, token) for token, piece in enumerate(vocabulary) if piece)
    longest = dict(order)
    state, at = 0, 0
    size = max(map(len, longest))
    while at < len(text):
        piece = next(text[at : at + n] for n in range(size, 0, -1) if text[at : at + n] in longest)
        state = int(table.next_state[state, table.token_class[longest[piece]]])
        if state < 0:
            return False
        at += len(piece)
    return bool(table.next_state[state, table.token_class[eos]] >= 0)
