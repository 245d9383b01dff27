"""genserve through its exported SavedModel: the ``tokens`` signature, nothing but TensorFlow imported."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from timing import Generate, Job, main  # type: ignore[import-not-found]


def prepare(job: Job) -> Generate:
    """Loads the artifact and pads the prompts to the signature's width, as clients do."""
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    loaded = tf.saved_model.load(job.artifact)
    signature = loaded.signatures["tokens"]
    width = signature.structured_input_signature[1]["input_ids"].shape[1]
    ids = np.zeros([len(job.prompts), width], np.int32)
    for row, prompt in zip(ids, job.prompts, strict=True):
        row[: len(prompt)] = prompt
    input_ids = tf.constant(ids)
    num_tokens = tf.constant([len(prompt) for prompt in job.prompts], tf.int32)

    def generate() -> list[int]:
        answer = signature(input_ids=input_ids, num_tokens=num_tokens)
        counts: list[int] = answer["num_tokens"].numpy().tolist()
        return counts

    generate.loaded = loaded  # type: ignore[attr-defined]  # signatures do not keep their model alive
    return generate


if __name__ == "__main__":
    main(prepare, "tensorflow")
