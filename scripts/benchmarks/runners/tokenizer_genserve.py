"""The compiled tokenizer as a server runs it: ``encode`` of its reloaded SavedModel."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text  # noqa: F401  # registers operations that some kinds need
from tokenizer_timing import Encode, Job, main  # type: ignore[import-not-found]

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def load(job: Job) -> Encode:
    """The signature's function."""
    loaded = tf.saved_model.load(job.artifact)
    signature = loaded.signatures["encode"]

    def encode(texts: list[str], keep: object = loaded) -> int:
        return int(tf.reduce_sum(signature(text=tf.constant(texts, tf.string))["num_tokens"]).numpy())

    return encode


if __name__ == "__main__":
    main(load, "tensorflow", "tensorflow-text")
