"""Stop strings: an automaton over the bytes of tokens, so the loop stops inside the compiled function.

Built at export from the text that each token stands for (Aho and Corasick, "Efficient string matching: an
aid to bibliographic search", CACM 1975). A state is the longest suffix of the text that begins some stop
string, and a table gives the state after each whole token: a stop string is found wherever in a token it
starts or ends. As in the reference's ``StopStringCriteria``, a stop string may begin in the prompt, but not
end there. Where the text is cut is decided on the host, in the detokenized text (``cut_at_stop``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.devices import CPU
from exporter.errors import OptionError
from exporter.generation.result import FinishReason
from exporter.generation.step import Prompt

# RE2's special characters; everything else in a stop string stands for itself.
_SPECIAL = set("\\^$.|?*+()[]{}")


class StopAutomaton(tf.Module):
    """Which state each token leads to. State 0 is the start; states from ``found`` on are never left.

    A tf.Module: the table is a variable, so the model that carries it must track it.

    Attributes:
      found: how many states there are while nothing is found; found + s is "found, and then state s".
      reach: after how many tokens with text the state no longer depends on what came before them.
      spelled: by state, the bytes that the text ends with in it.
      table: int16 variable [vocab, found]; -1 for tokens without text, which leave the state as it is.
    """

    def __init__(self, stop_strings: Sequence[str], vocabulary: Sequence[bytes]) -> None:
        """Builds the table.

        Args:
          stop_strings: texts, none of them empty.
          vocabulary: the bytes that each token adds to the text; empty for tokens that are left out of it.
        """
        super().__init__(name="stop_automaton")
        stops = [text.encode() for text in stop_strings]
        edges, ends = _byte_edges(stops)
        self.found = len(edges)
        self.spelled = _spelled(stops)
        self.reach = max(map(len, stops)) - 1
        table = _token_table(edges, ends, vocabulary)
        self.table = tf.Variable(table, trainable=False, name="stop_table")

    def start(self, prompt: Prompt, done: tf.Tensor | None = None, most: int = 0) -> tf.Tensor:
        """int32 [batch]: the states after the prompts; what lies wholly in a prompt is not found.

        A token without text (a special token) begins anew, and so does a decoder's start.

        Args:
          prompt: what was read.
          done: int32 [batch], how many of the newest tokens are no prompt but the answer's, in which stop
            strings are found; None: none is.
          most: static, their largest number.
        """
        state = tf.zeros_like(prompt.lengths)
        count = self.reach + (most if done is not None else 0)
        if prompt.encoder_tokens is not None or count == 0:
            return state
        length = tf.shape(prompt.tokens)[1]
        first = length - prompt.lengths  # [batch], the column of the first token

        def read(turn: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # The last ``count`` columns, as far as there are so many.
            column = length - count + turn
            token = prompt.tokens[:, tf.maximum(column, 0)]
            after = self._look_up(tf.minimum(state, self.found - 1), token)
            after = tf.where((after < 0) | (column < first), 0, after % self.found)
            if done is not None:
                after = tf.where(column >= length - done, self.advance(state, token), after)
            return turn + 1, after

        _, state = tf.while_loop(lambda turn, _: turn < count, read, (0, state), maximum_iterations=count)
        return state

    def advance(self, state: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """int32 [rows] states after int32 [rows] tokens."""
        after = self._look_up(tf.minimum(state, self.found - 1), token)
        return tf.where(self.matched(state) | (after < 0), state, after)

    def matched(self, state: tf.Tensor) -> tf.Tensor:
        """bool [rows]: whether a stop string has ended in a generated token."""
        return state >= self.found

    def _look_up(self, state: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        table = tf.convert_to_tensor(self.table)
        return tf.cast(tf.gather_nd(table, tf.stack([token, state], axis=-1)), tf.int32)


def _byte_edges(stops: Sequence[bytes]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """int16 [states, 256]: the state after each byte; bool [states]: whether a stop string ends there.

    >>> edges, ends = _byte_edges([b"ab"])
    >>> int(edges[0, ord("a")]), int(edges[1, ord("a")]), int(edges[1, ord("b")]), ends.tolist()
    (1, 1, 2, [False, False, True])
    """
    trie, ends = _trie(stops)
    # Found states are as many again.
    if 2 * len(trie) > np.iinfo(np.int16).max:
        raise OptionError(f"stop_strings: {len(trie)} bytes together are too long; allowed: 16000")
    edges = np.zeros((len(trie), 256), np.int16)
    fail = [0] * len(trie)
    queue = deque([0])
    while queue:
        state = queue.popleft()
        # What the text would do without its first byte, and the trie's own edges over it.
        edges[state] = edges[fail[state]] if state else 0
        ends[state] |= ends[fail[state]]
        for byte, child in trie[state].items():
            fail[child] = int(edges[state, byte]) if state else 0
            edges[state, byte] = child
            queue.append(child)
    return edges, ends


def _trie(stops: Sequence[bytes]) -> tuple[list[dict[int, int]], npt.NDArray[np.bool_]]:
    """Children of each state by byte, and whether a stop string is spelled out there."""
    trie: list[dict[int, int]] = [{}]
    spelled = set()
    for stop in stops:
        state = 0
        for byte in stop:
            if byte not in trie[state]:
                trie[state][byte] = len(trie)
                trie.append({})
            state = trie[state][byte]
        spelled.add(state)
    return trie, np.array([state in spelled for state in range(len(trie))])


def _spelled(stops: Sequence[bytes]) -> list[bytes]:
    """What leads to each state of the trie.

    >>> _spelled([b"ab", b"ac"])
    [b'', b'a', b'ab', b'ac']
    """
    return list(dict.fromkeys([b"", *(stop[: end + 1] for stop in stops for end in range(len(stop)))]))


def _token_table(
    edges: npt.NDArray[np.int16], ends: npt.NDArray[np.bool_], vocabulary: Sequence[bytes]
) -> npt.NDArray[np.int16]:
    """int16 [vocab, states]: see ``StopAutomaton.table``."""
    states = len(edges)
    table = np.tile(np.arange(states, dtype=np.int16), (len(vocabulary), 1))
    found = np.zeros(table.shape, np.bool_)
    lengths = np.array([len(token) for token in vocabulary])
    for position in range(lengths.max(initial=0)):
        longer = np.flatnonzero(lengths > position).tolist()
        byte = np.array([vocabulary[token][position] for token in longer])
        table[longer] = edges[table[longer], byte[:, None]]
        found[longer] |= ends[table[longer]]
    table[lengths == 0] = -1
    return table + states * found.astype(np.int16)


def cut_at_stop(text: tf.Tensor, stop_strings: Sequence[str]) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts string [...] texts (valid UTF-8) before the first stop string. Runs on the host.

    Returns:
      The texts, and bool [...]: whether there was one.
    """
    escaped = ["".join(f"\\{char}" if char in _SPECIAL else char for char in stop) for stop in stop_strings]
    pattern = "(?s)(?:" + "|".join(escaped) + ").*"
    with tf.device(CPU):
        cut = tf.strings.regex_replace(text, pattern, "", replace_global=False)
        return cut, tf.strings.length(cut) < tf.strings.length(text)


def cut_answers(
    text: tf.Tensor,
    sequences: tf.Tensor,
    num_tokens: tf.Tensor,
    finish_reason: tf.Tensor,
    *,
    stop_strings: Sequence[str],
    is_end: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Texts of generated sequences, cut before their first stop string. Runs on the host.

    A sequence that a stop string ended, though its text holds none, was ended by one that began in the
    prompt: nothing stands before that.

    Args:
      text: string [batch, n], what the sequences decode to.
      sequences, num_tokens, finish_reason: as in ``Generated``.
      stop_strings: the options' own.
      is_end: whether each id of int32 [batch, n] ends its row by itself.
    """
    with tf.device(CPU):
        cut, found = cut_at_stop(text, stop_strings)
        last = tf.gather(sequences, tf.maximum(num_tokens - 1, 0), axis=2, batch_dims=2)
        stopped = (finish_reason == int(FinishReason.STOP)) & (num_tokens > 0) & ~is_end(last)
        return tf.where(stopped & ~found, "", cut)
