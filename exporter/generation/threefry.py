"""Counter-based random numbers: a row's numbers depend on its seed and the step, never on its batch.

Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), written
in plain integer ops: TensorFlow's stateless ops take one seed for a whole tensor, and their values
depend on its shape.
"""

from __future__ import annotations

import tensorflow as tf

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
# The key schedule's parity word.
_PARITY = 0x1BD11BDA
_ROUNDS = 20


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two random words per counter; all uint32 and of shapes that broadcast."""
    keys = (key[0], key[1], _xor(_xor(key[0], key[1]), tf.constant(_PARITY, tf.uint32)))
    first, second = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(_ROUNDS // 4):
        for rotation in _ROTATIONS[group % 2]:
            first = first + second
            second = _xor(_rotate(second, rotation), first)
        first = first + keys[(group + 1) % 3]
        second = second + keys[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return first, second


def uniforms(seed: tf.Tensor, step: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Two independent numbers in [0, 1) for each (seed, step, draw).

    Args:
      seed: int64, any shape.
      step: int32, broadcasts with seed.
      draw: int32, broadcasts with both; numbers several draws of one step.

    Returns:
      Two float32 tensors; multiples of 2**-24.
    """
    key = (_word(seed), _word(tf.bitwise.right_shift(seed, tf.constant(32, tf.int64))))
    words = threefry(key, (_word(tf.cast(step, tf.int64)), _word(tf.cast(draw, tf.int64))))
    first, second = (
        tf.cast(tf.bitwise.right_shift(word, tf.constant(8, tf.uint32)), tf.int32) for word in words
    )
    return tf.cast(first, tf.float32) * 2.0**-24, tf.cast(second, tf.float32) * 2.0**-24


def _word(value: tf.Tensor) -> tf.Tensor:
    """The low 32 bits of an int64."""
    return tf.cast(tf.bitwise.bitwise_and(value, tf.constant(0xFFFFFFFF, tf.int64)), tf.uint32)


def _xor(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(left, right)


def _rotate(value: tf.Tensor, bits: int) -> tf.Tensor:
    left = tf.bitwise.left_shift(value, tf.constant(bits, tf.uint32))
    return tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(value, tf.constant(32 - bits, tf.uint32)))
