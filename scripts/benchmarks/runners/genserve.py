"""genserve through its exported SavedModel: ``tokens``, or ``serving_default`` for cases of text.

Nothing but TensorFlow is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from timing import Generate, Job, main  # type: ignore[import-not-found]

# Cut to fit the prompt bucket; the made-up tokenizers know pairs of letters, no words.
_TEXT = "Once upon a time there was a lighthouse on a rock, and in it lived a keeper and his cat. " * 20


def prepare(job: Job) -> Generate:
    """Loads the artifact and calls it as clients do: with text, or with ids padded to the signature."""
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    loaded = tf.saved_model.load(job.artifact)
    inputs = _texts(job) if job.text else _ids(job, loaded.signatures["tokens"])
    signature = loaded.signatures["serving_default" if job.text else "tokens"]

    def generate() -> list[int]:
        answer = signature(**inputs)
        counts: list[int] = answer["num_tokens"].numpy().tolist()
        return counts

    generate.loaded = loaded  # type: ignore[attr-defined]  # signatures do not keep their model alive
    if job.text:
        generate.tokenizer = _tokenizer(job, loaded, inputs["text"])  # type: ignore[attr-defined]
    return generate


def _ids(job: Job, signature: Any) -> dict[str, tf.Tensor]:
    width = signature.structured_input_signature[1]["input_ids"].shape[1]
    ids = np.zeros([len(job.prompts), width], np.int32)
    for row, prompt in zip(ids, job.prompts, strict=True):
        row[: len(prompt)] = prompt
    counts = [len(prompt) for prompt in job.prompts]
    return {"input_ids": tf.constant(ids), "num_tokens": tf.constant(counts, tf.int32)}


def _texts(job: Job) -> dict[str, tf.Tensor]:
    return {"text": tf.constant([_TEXT[: len(prompt)].encode() for prompt in job.prompts])}


def _tokenizer(job: Job, loaded: Any, text: tf.Tensor) -> Callable[[], Any]:
    """Encodes the prompts and decodes as many random ids as a request generates, without generating."""
    encode, decode = loaded.signatures["encode"], loaded.signatures["decode"]
    width = decode.structured_input_signature[1]["input_ids"].shape[1]
    ids = np.zeros([len(job.prompts), width], np.int32)
    # The prompts' ids are random ones: one after the other until there are enough.
    for row, prompt in zip(ids, job.prompts, strict=True):
        row[: job.new_tokens] = np.resize(prompt, job.new_tokens)
    answer, counts = tf.constant(ids), tf.fill([len(ids)], job.new_tokens)
    return lambda: (encode(text=text), decode(input_ids=answer, num_tokens=counts))


if __name__ == "__main__":
    main(prepare, "tensorflow")
