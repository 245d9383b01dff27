"""KerasHub's BytePairTokenizer inside a ``tf.function``: GPT-2's pipeline, from vocab.json and merges.txt."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras_hub
import tensorflow as tf
from tokenizer_timing import Encode, Job, main  # type: ignore[import-not-found]

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def load(job: Job) -> Encode:
    """The layer's call in graph mode."""
    source = Path(job.source)
    layer = keras_hub.tokenizers.BytePairTokenizer(str(source / "vocab.json"), str(source / "merges.txt"))
    function = tf.function(
        lambda texts: tf.reduce_sum(layer(texts).row_lengths()),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    return lambda texts: int(function(tf.constant(texts, tf.string)).numpy())


if __name__ == "__main__":
    main(load, "keras-hub", "tensorflow", "tensorflow-text")
