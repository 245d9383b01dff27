"""Guides: answers that a language allows and no others, by a table of states and classes of tokens.

A guide's table (``exporter.guides``) says which tokens may follow in each state, and where each leads. The
loop carries a state for every row; what the state does not allow is masked behind all processors, so that
nothing which comes after it (warpers, drawing, beams) can choose it. Where the processors ban every token
that a guide allows (a minimum length that bans the end of an answer which can only end, a forced token, a
bad word), the guide goes before them: the allowed tokens count as if nothing had been processed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

if TYPE_CHECKING:
    from exporter.guides import GuideTable

#: The state of a row without a guide: it allows everything, and is never left.
FREE = 0
#: "State" after a token that was not allowed.
NOWHERE = -1
_BANNED = tf.float32.min


class Guides(tf.Module):
    """Several guides in one table; state 0 is that of rows without any.

    A tf.Module: the tables are variables, so the model that carries it must track it.

    Attributes:
      next_state: int [states, classes] variable, -1 where a class of tokens is not allowed.
      token_class: int [guides + 1, vocab] variable; the first row is that of no guide.
      owner: int32 [states] variable, the row of ``token_class`` that each state goes by.
      first_state: int32 [guides + 1] variable, where each guide begins.
    """

    def __init__(self, tables: Sequence[GuideTable]) -> None:
        super().__init__(name="guides")
        for name, values in _joined(tables).items():
            setattr(self, name, tf.Variable(values, trainable=False, name=f"guide_{name}"))

    @classmethod
    def of(cls, loaded: Any) -> Guides:
        """The guides of a loaded version, over its own variables."""
        guides = cls.__new__(cls)
        tf.Module.__init__(guides, name="guides")
        for name in ("next_state", "token_class", "owner", "first_state"):
            setattr(guides, name, getattr(loaded, name))
        return guides

    def start(self, guide: tf.Tensor) -> tf.Tensor:
        """int32 [rows]: the first state by the number of each row's guide (int32 [rows]), -1 for none."""
        return tf.gather(self.first_state, guide + 1)

    def allowed(self, state: tf.Tensor) -> tf.Tensor:
        """bool [rows, vocab]: the tokens that each state (int32 [rows]) allows."""
        state = tf.maximum(state, FREE)
        classes = tf.gather(self.token_class, tf.gather(self.owner, state))  # [rows, vocab]
        following = tf.gather(self.next_state, state)  # [rows, classes]
        return tf.gather(following >= 0, classes, axis=1, batch_dims=1)

    def mask(self, scores: tf.Tensor, state: tf.Tensor, unprocessed: tf.Tensor | None = None) -> tf.Tensor:
        """float32 [rows, vocab]: the scores, -inf for what is not allowed.

        Args:
          scores: float32 [rows, vocab].
          state: int32 [rows].
          unprocessed: float32 [rows, vocab], what counts in rows where ``scores`` leave no allowed token;
            None where that cannot be.
        """
        allowed = self.allowed(state)
        if unprocessed is None:
            return tf.where(allowed, scores, -math.inf)
        # Allowed tokens that are banned stay above the others, so that one array says both: XLA:CPU reads
        # the table slowly where a maximum is taken of it.
        masked = tf.where(allowed, tf.maximum(scores, _BANNED), -math.inf)
        # A row without a guide stays as its processors left it.
        none = (tf.reduce_max(masked, axis=-1) <= _BANNED) & (state > FREE)
        left = tf.where(masked <= _BANNED, -math.inf, masked)
        return tf.where(none[:, None] & (masked > -math.inf), unprocessed, left)

    def advance(self, state: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """The states after each ``token``, int32 of the same shape; NOWHERE after one that is not allowed."""
        before = tf.maximum(state, FREE)
        owner = tf.gather(self.owner, before)
        after = _look_up(self.next_state, before, _look_up(self.token_class, owner, token))
        return tf.where(state < FREE, state, after)

    def after(self, tokens: tf.Tensor, counts: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """The states after the first ``counts`` of each row's ``tokens`` (int32 [rows, k]), from ``state``.

        For rows that go on with an answer: a loop over columns, once before the loop over new tokens.
        """

        def read(column: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return column + 1, tf.where(column < counts, self.advance(state, tokens[:, column]), state)

        columns = tf.shape(tokens)[1]
        _, state = tf.while_loop(lambda column, _: column < columns, read, (0, state))
        return state


def _look_up(table: tf.Variable, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """int32: one entry for each of ``row`` and ``column``, int32 of one shape."""
    found = tf.gather_nd(tf.convert_to_tensor(table), tf.stack([row, column], axis=-1))
    return tf.cast(found, tf.int32)


def _joined(tables: Sequence[GuideTable]) -> dict[str, npt.NDArray[Any]]:
    """The variables of ``Guides``."""
    states = 1 + sum(table.states for table in tables)
    classes = max(table.classes for table in tables)
    next_state = np.full((states, classes), NOWHERE, _width(states))
    next_state[FREE] = FREE
    first, owner = [FREE], np.zeros(states, np.int32)
    begin = 1
    for number, table in enumerate(tables, 1):
        end, own = begin + table.states, table.next_state
        next_state[begin:end, : table.classes] = np.where(own < 0, NOWHERE, own + begin)
        owner[begin:end] = number
        first.append(begin)
        begin = end
    token_class = np.stack([np.zeros_like(tables[0].token_class), *(table.token_class for table in tables)])
    return {
        "next_state": next_state,
        "token_class": token_class.astype(_width(classes)),
        "owner": owner,
        "first_state": np.array(first, np.int32),
    }


def _width(size: int) -> type[np.int16] | type[np.int32]:
    """The smaller type that holds every number below ``size``."""
    return np.int16 if size <= np.iinfo(np.int16).max else np.int32
