"""One trace, and one XLA compilation per bucket touched: counted in TensorFlow's own compilation log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.exporting.pipeline import ExportResult

pytestmark = pytest.mark.end_to_end

#: device_compilation_profiler.cc logs one such line per compilation at verbosity 1.
_COMPILED = re.compile(r"Compiled (\S+) \d+ times")

_PREAMBLE = """
import sys
import tensorflow as tf, tensorflow_text
signatures = tf.saved_model.load(sys.argv[1]).signatures
def ask(*texts):
    signatures["serving_default"](text=tf.constant(texts, tf.string))
"""
_NEXT = "== the next script"


def compilations(directory: Path, *scripts: str) -> list[list[str]]:
    """Runs scripts one after the other in a fresh process.

    Returns:
      For each, the names of the functions that XLA compiled meanwhile, in order.
    """
    script = f"\nprint({_NEXT!r}, file=sys.stderr, flush=True)\n".join(scripts)
    process = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + script, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "0",
            "TF_CPP_VMODULE": "device_compilation_profiler=1",
        },
    )
    assert process.returncode == 0, process.stderr
    return [_COMPILED.findall(text) for text in process.stderr.split(_NEXT)]


def test_compilations_equal_the_buckets_touched(stories: ExportResult) -> None:
    one = "Once"
    long = "Once upon a time there was a little fox who liked to count. One, two, three, four."
    # Same bucket: other text, other length, other batch sizes within it.
    script = "; ".join(
        [
            f"ask({one!r})",
            "ask('A fox and')",
            f"ask({one!r}, 'a')",
            f"ask({one!r}, 'a', 'b')",
            "ask('a', 'b', 'c', 'd')",
            f"ask({long!r})",
            f"ask({long!r}, 'a')",
            # Two chunks, both in buckets that are compiled by now; a bad row; an empty batch.
            f"ask({long!r}, 'a', 'b', 'c', 'd')",
            r"ask(b'\xff', 'a')",
            "ask()",
        ]
    )
    first, others = compilations(stories.directory, f"ask({one!r})", script)
    assert (len(first), len(others)) == (1, 3), others
    assert len({*first, *others}) == 1, "one traced function, specialised per bucket"


_REPLAY = """
from tensorflow_serving.apis import prediction_log_pb2
log = prediction_log_pb2.PredictionLog()
count = 0
for record in tf.data.TFRecordDataset(sys.argv[1] + "/assets.extra/tf_serving_warmup_requests"):
    log.ParseFromString(record.numpy())
    request = log.predict_log.request
    answer = signatures[request.model_spec.signature_name](
        **{name: tf.make_ndarray(value) for name, value in request.inputs.items()})
    if request.model_spec.signature_name == "warm_up":
        assert set(answer["num_tokens"].numpy()) == {1}, (request, answer)
    else:
        assert all(answer["error"].numpy()), (request, answer)
    count += 1
assert count == int(COUNT)
"""


def test_nothing_compiles_after_the_warmup_records(stories: ExportResult) -> None:
    replay = _REPLAY.replace("COUNT", str(stories.manifest.warmup.records))
    traffic = """
for rows in range(0, 10):
    for words in (1, 3, 10, 17, 40, 80):
        ask(*["a " * words] * rows)

NEUTRAL = dict(max_new_tokens=4, temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0,
               presence_penalty=0.0, frequency_penalty=0.0, seed=-1)
INTEGERS = dict(max_new_tokens=tf.int32, top_k=tf.int32, seed=tf.int64)
def generate(rows, **options):
    inputs = {k: tf.fill([rows], tf.constant(v, INTEGERS.get(k, tf.float32)))
              for k, v in {**NEUTRAL, **options}.items()}
    return signatures["generate"](text=tf.constant(["a"] * rows), **inputs)
SETTINGS = dict(
    max_new_tokens=(1, 16, 0, 99), temperature=(0.0, 0.7, 2.0, float("nan")), top_k=(1, 50), top_p=(0.5, 2.0),
    min_p=(0.1,), repetition_penalty=(1.3,), presence_penalty=(0.5,), frequency_penalty=(-0.5,), seed=(0, 7))
for name, values in SETTINGS.items():
    for value in values:
        for rows in (1, 3):
            generate(rows, **{"temperature": 1.0, name: value})
"""
    warm, later = compilations(stories.directory, replay, traffic)
    # Two programs (the exported defaults, the per-row options) in four buckets.
    assert len(warm) == 8
    assert len(set(warm)) == 2
    assert later == []
