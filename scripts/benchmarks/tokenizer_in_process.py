"""The compiled tokenizer without a SavedModel: a runner like those in ``runners``, but of this environment.

python -m scripts.benchmarks.tokenizer_in_process JOB RESULT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.tokenizer import build_tokenizer
from scripts.benchmarks.harness import RUNNERS

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def load(job: Any) -> Any:
    """The graph as one traced function; ``job`` and result as in ``runners/tokenizer_timing.py``."""
    graph = build_tokenizer(Path(job.source))
    text = [tf.TensorSpec([None], tf.string)]
    function = tf.function(graph.encode, text, autograph=False).get_concrete_function()

    def encode(texts: list[str]) -> int:
        return int(tf.size(function(tf.constant(texts, tf.string)).flat_values).numpy())

    return encode


if __name__ == "__main__":
    sys.path.insert(0, str(RUNNERS))
    from tokenizer_timing import main  # type: ignore[import-not-found]

    main(load, "tensorflow")
