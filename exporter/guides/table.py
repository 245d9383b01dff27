"""An automaton over bytes -> a table over tokens, in classes of tokens that no state tells apart.

The vocabulary is a trie, walked a layer (a byte) at a time for a block of states; only states that tokens
reach are walked. Memory is a block's, [vocab, block], and the table's own, whatever the number of edges.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.errors import OptionError
from exporter.guides.machine import DEAD, Machine, trimmed

_BLOCK = 64
MOST_BYTES = 256 << 20

Ints = npt.NDArray[np.int32]
_Layer = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], Ints, npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class GuideTable:
    """Which tokens an answer may go on with.

    Attributes:
      next_state: int32 [states, classes], the state after a token of each class; -1: not allowed.
      token_class: int32 [vocab].

    State 0 is the start. The last state is the end: an end of sequence leads there from every state in
    which the answer is whole, and it allows nothing else. Every state allows some token.
    """

    next_state: Ints
    token_class: Ints

    @property
    def states(self) -> int:
        return len(self.next_state)

    @property
    def classes(self) -> int:
        return self.next_state.shape[1]

    @property
    def nbytes(self) -> int:
        return self.next_state.nbytes + self.token_class.nbytes

    def allowed(self, state: int) -> npt.NDArray[np.bool_]:
        """bool [vocab]: the tokens that a state allows."""
        return self.next_state[state, self.token_class] != DEAD


class Trie:
    """A vocabulary's texts by their prefixes, layer by layer.

    Attributes:
      layers: of each, the node in the layer before that each node is under (int [nodes]), the byte that leads
        to it, and the tokens that end in this layer and in which of its nodes.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        """Tokens of empty texts are in no layer."""
        self.size = len(texts)
        self.layers: list[_Layer] = []
        lengths = np.array([len(text) for text in texts], np.int64)
        joined = np.frombuffer(b"".join(texts), np.uint8)
        begins = np.cumsum(lengths) - lengths
        tokens = np.flatnonzero(lengths).astype(np.int32)
        node = np.zeros(len(tokens), np.int64)
        depth = 0
        while len(tokens):
            keys, node = np.unique(node * 256 + joined[begins[tokens] + depth], return_inverse=True)
            depth += 1
            ends = lengths[tokens] == depth
            self.layers.append((keys // 256, (keys % 256).astype(np.uint8), tokens[ends], node[ends]))
            tokens, node = tokens[~ends], node[~ends]

    def walk(self, edges: Ints, states: Sequence[int]) -> Ints:
        """int32 [vocab, states]: where each whole token leads from these states; DEAD where nowhere.

        Args:
          edges: int32 [all states + 1, 256]; the last row is DEAD's, which leads nowhere.
        """
        result = np.full((self.size, len(states)), DEAD, np.int32)
        current = np.array([states], np.int32)
        place = np.zeros(1, np.int64)  # of each node of the layer, its row in ``current``; -1: all are dead
        for above, byte, tokens, node in self.layers:
            row = place[above]
            alive = np.flatnonzero(row >= 0)
            reached = edges[current[row[alive]], byte[alive, None]]
            kept = (reached != DEAD).any(axis=1)
            current, alive = reached[kept], alive[kept]
            if not len(alive):
                break
            place = np.full(len(above), -1, np.int64)
            place[alive] = np.arange(len(alive))
            found = place[node] >= 0
            result[tokens[found]] = current[place[node[found]]]
        return result


def token_table(
    machine: Machine,
    vocabulary: Sequence[bytes],
    first: Sequence[bytes],
    eos_token_id: Sequence[int],
    never: Collection[int],
    name: str,
) -> GuideTable:
    """The table; OptionError, naming the option, where no answer can be spelled or it grows too large.

    Args:
      vocabulary: the bytes that each token adds to the text; empty for tokens that are left out of it.
      first: the bytes that it adds as the first one; what adds nothing only there is allowed there.
      eos_token_id: the tokens that end an answer.
      never: tokens that are not allowed whatever their texts.
    """
    silent = {*eos_token_id, *never}
    texts, first_texts = (
        [b"" if token in silent else text for token, text in enumerate(side)] for side in (vocabulary, first)
    )
    columns, kinds, states = _explored(machine, texts, first_texts, name)
    return _finished(columns, kinds, machine.accepting[states], eos_token_id, name)


def _explored(
    machine: Machine, texts: Sequence[bytes], first: Sequence[bytes], name: str
) -> tuple[Ints, npt.NDArray[np.int64], list[int]]:
    """int32 [classes, states], int [vocab] the tokens' classes, and the machine's state of each state."""
    edges = np.vstack([machine.edges, np.full((1, 256), DEAD, np.int32)])
    trie = Trie(texts)
    states, numbers = [0], np.full(machine.states + 1, DEAD, np.int32)
    if list(first) == list(texts):
        numbers[0] = 0
    columns = np.zeros((1, 0), np.int32)
    kinds = np.zeros(len(texts), np.int64)
    while (done := columns.shape[1]) < len(states):
        # The start alone is walked with the texts of first tokens.
        block = states[:1] if done == 0 else states[done : done + _BLOCK]
        reached = (Trie(first) if done == 0 else trie).walk(edges, block)
        if done == 0:
            nothing = [bool(text) and not begun for text, begun in zip(texts, first, strict=True)]
            reached[np.flatnonzero(nothing)] = 0
        for target in np.unique(reached[reached != DEAD]).tolist():
            if numbers[target] == DEAD:
                numbers[target] = len(states)
                states.append(target)
        columns, kinds = _refined(columns, kinds, numbers[reached])
        if columns.nbytes > MOST_BYTES:
            raise OptionError(
                f"{name}: its table of {len(states)} or more states and {len(columns)} classes of tokens "
                f"takes more than {MOST_BYTES >> 20} MiB"
            )
    return columns, kinds, states


def _refined(
    columns: Ints, kinds: npt.NDArray[np.int64], reached: Ints
) -> tuple[Ints, npt.NDArray[np.int64]]:
    """Classes of tokens that the states of one more block tell apart; their columns longer by the block."""
    rows = np.ascontiguousarray(np.column_stack([kinds.astype(np.int32), reached]))
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, token, finer = np.unique(keys, return_index=True, return_inverse=True)
    return np.hstack([columns[kinds[token]], reached[token]]), finer.ravel().astype(np.int64)


def _finished(
    columns: Ints,
    kinds: npt.NDArray[np.int64],
    accepting: npt.NDArray[np.bool_],
    eos_token_id: Sequence[int],
    name: str,
) -> GuideTable:
    """The table with the end of sequence, without what leads to no whole answer."""
    end = len(accepting)
    ending = np.where([*accepting, True], end, DEAD).astype(np.int32)
    table = np.column_stack([np.vstack([columns.T, np.full((1, len(columns)), DEAD, np.int32)]), ending])
    table, whole = trimmed(table, ending != DEAD)
    if not whole.any():
        raise OptionError(f"{name}: no answer of this vocabulary's tokens is allowed by it")
    table, merged = np.unique(table, axis=1, return_inverse=True)
    kinds = kinds.copy()
    kinds[list(eos_token_id)] = len(columns)
    return GuideTable(np.ascontiguousarray(table), merged.ravel()[kinds].astype(np.int32))
