"""Stop strings: an automaton over the bytes of tokens, so the loop stops inside the compiled function.

Built at export from the text that each token stands for (Aho and Corasick, "Efficient string matching: an
aid to bibliographic search", CACM 1975). A state is the longest suffix of the generated text that begins
some stop string, and a table gives the state after each whole token: a stop string is found wherever in a
token it starts or ends. Only generated text counts; a stop string that began in the prompt does not stop.
Where the text is cut is decided on the host, in the detokenized text (``cut_at_stop``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

# RE2's special characters; everything else in a stop string stands for itself.
_SPECIAL = set("\\^$.|?*+()[]{}")


class StopAutomaton(tf.Module):
    """Which state each token leads to. State 0 is the start; the last state is "found" and is never left.

    A tf.Module: the table is a variable, so the model that carries it must track it.

    Attributes:
      table: int16 variable [vocab, states].
    """

    def __init__(self, stop_strings: Sequence[str], vocabulary: Sequence[bytes]) -> None:
        """Builds the table.

        Args:
          stop_strings: texts, none of them empty.
          vocabulary: the bytes that each token adds to the text; empty for tokens that are left out of it.
        """
        super().__init__(name="stop_automaton")
        edges = _byte_edges([text.encode() for text in stop_strings])
        self.found = len(edges)
        self.table = tf.Variable(_token_table(edges, vocabulary), trainable=False, name="stop_table")

    def advance(self, state: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """int32 [rows] states after int32 [rows] tokens."""
        table = tf.convert_to_tensor(self.table)
        return tf.cast(tf.gather_nd(table, tf.stack([token, state], axis=-1)), tf.int32)

    def matched(self, state: tf.Tensor) -> tf.Tensor:
        """bool [rows]: whether a stop string has been generated."""
        return state == self.found


def _byte_edges(stops: Sequence[bytes]) -> npt.NDArray[np.int16]:
    """int16 [states, 256]: the state after each byte; a state past the last one stands for "found".

    >>> edges = _byte_edges([b"ab"])
    >>> int(edges[0, ord("a")]), int(edges[1, ord("a")]), int(edges[1, ord("b")]), len(edges)
    (1, 1, 2, 2)
    """
    trie, ends = _trie(stops)
    states = [state for state in range(len(trie)) if state not in ends]
    if len(states) >= np.iinfo(np.int16).max:
        raise ValueError(f"stop strings are too long together: {len(states)} bytes")
    number = {state: index for index, state in enumerate(states)} | dict.fromkeys(ends, len(states))
    edges = np.zeros((len(states), 256), np.int16)
    fail = {0: 0}
    queue = deque([0])
    while queue:
        state = queue.popleft()
        # What the text would do without its first byte, and the trie's own edges over it.
        edges[number[state]] = edges[number[fail[state]]] if state else 0
        for byte, child in trie[state].items():
            if child not in ends:
                fail[child] = states[edges[number[state], byte]] if state else 0
                queue.append(child)
            edges[number[state], byte] = number[child]
    return edges


def _trie(stops: Sequence[bytes]) -> tuple[list[dict[int, int]], set[int]]:
    """Children of each state, and the states that end a stop string; nothing grows beyond an end."""
    trie: list[dict[int, int]] = [{}]
    ends: set[int] = set()
    # A stop string that contains another is never the first to be found. Its inner part ends the search.
    for stop in (stop for stop in dict.fromkeys(stops) if not any(o in stop for o in stops if o != stop)):
        state = 0
        for byte in stop:
            if byte not in trie[state]:
                trie[state][byte] = len(trie)
                trie.append({})
            state = trie[state][byte]
        ends.add(state)
    return trie, ends


def _token_table(edges: npt.NDArray[np.int16], vocabulary: Sequence[bytes]) -> npt.NDArray[np.int16]:
    """int16 [vocab, states + 1]: the state after each whole token, "found" being its own successor."""
    found = len(edges)
    edges = np.vstack([edges, np.full((1, 256), found, np.int16)])
    table = np.tile(np.arange(found + 1, dtype=np.int16), (len(vocabulary), 1))
    lengths = np.array([len(token) for token in vocabulary])
    for position in range(lengths.max(initial=0)):
        longer = np.flatnonzero(lengths > position).tolist()
        byte = np.array([vocabulary[token][position] for token in longer])
        table[longer] = edges[table[longer], byte[:, None]]
    return table


def cut_at_stop(text: tf.Tensor, stop_strings: Sequence[str]) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts string [...] texts (valid UTF-8) before the first stop string. Runs on the host.

    Returns:
      The texts, and bool [...]: whether there was one.
    """
    escaped = ["".join(f"\\{char}" if char in _SPECIAL else char for char in stop) for stop in stop_strings]
    pattern = "(?s)(?:" + "|".join(escaped) + ").*"
    with tf.device("/device:CPU:0"):
        cut = tf.strings.regex_replace(text, pattern, "", replace_global=False)
        return cut, tf.strings.length(cut) < tf.strings.length(text)
