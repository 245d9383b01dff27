"""``--split-by-length``: one more signature per length bucket, with the same compiled programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from exporter.errors import OptionError
from exporter.exporting.pipeline import ExportResult, export
from exporter.options import make_options
from serving_configs import render
from tests.end_to_end.test_compilations import _REPLAY, compilations

pytestmark = pytest.mark.end_to_end

LONG = "Once upon a time there was a little fox who liked to count to a very large number. One, two, three,"


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    options = make_options(
        {
            "model": "demo:stories",
            "max_new_tokens": 8,
            "prompt_lengths": [8, 16, 64],
            "batch_sizes": [1, 2],
            "split_by_length": True,
            "overflow": "truncate_right",
            "outputs": ["truncated"],
            "verify": "none",
        }
    )
    return export(options, tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="module")
def signatures(split: ExportResult) -> Any:
    return tf.saved_model.load(str(split.directory)).signatures


def test_every_generating_signature_has_one_per_bucket(split: ExportResult) -> None:
    expected = {"encode", "decode"}
    for name in ("serving_default", "tokens", "generate"):
        expected |= {name, *(f"{name}_{length}" for length in (8, 16, 64))}
    assert set(split.manifest.signatures) == expected
    inputs = split.manifest.signatures["tokens_16"].inputs
    assert inputs["input_ids"].shape == (None, 16)


def test_answers_are_those_of_the_whole_signature(signatures: Any) -> None:
    texts = tf.constant(["Once", "A fox and"])
    for name in ("serving_default_8", "serving_default_16", "serving_default_64"):
        for output, value in signatures["serving_default"](text=texts).items():
            assert signatures[name](text=texts)[output].numpy().tolist() == value.numpy().tolist()


def test_a_prompt_that_is_too_long_is_sent_to_the_next(signatures: Any) -> None:
    """Its row alone; overflow=truncate_right holds where no longer bucket is left."""
    answer = signatures["serving_default_16"](text=tf.constant([LONG, "Once"]))
    tokens = int(signatures["encode"](text=tf.constant([LONG]))["num_tokens"][0])
    assert 16 < tokens <= 64
    assert answer["error"].numpy().tolist() == [
        f"text: the prompt has {tokens} tokens; allowed: 1 to 16; serving_default_64 takes up to 64".encode(),
        b"",
    ]
    ids = tf.zeros([1, 8], tf.int32)
    short = signatures["tokens_8"](input_ids=ids, num_tokens=tf.constant([9]))
    assert b"num_tokens: 9 is out of range; allowed: 0 to 8" in short["error"].numpy()[0]
    cut = signatures["serving_default_64"](text=tf.constant([LONG * 3]))
    assert (cut["error"].numpy()[0], cut["truncated"].numpy()[0]) == (b"", True)


def test_nothing_more_is_compiled_for_the_split_signatures(split: ExportResult) -> None:
    """Two programs in 3 x 2 buckets, whatever signature is asked; the warmup reaches each one."""
    records = split.manifest.warmup.records
    # Each program in each bucket; three generating signatures, whole and one per length; encode and decode.
    assert records == 2 * 6 + 3 * (1 + 3) + 2
    traffic = """
for name in ("serving_default_8", "serving_default_16", "serving_default_64", "serving_default"):
    for rows in (1, 2, 3):
        for words in (1, 6, 12, 40, 90):
            signatures[name](text=tf.constant(["a " * words] * rows))
"""
    warm, later = compilations(split.directory, _REPLAY.replace("COUNT", str(records)), traffic)
    assert len(warm) == 12
    assert len(set(warm)) == 2
    assert later == []


def test_the_batching_config_fits(split: ExportResult) -> None:
    """Queues are per signature by the server's own rule; the allowed sizes are the buckets', once for all."""
    config = render([split.manifest])["batching.config"]
    assert "max_batch_size {\n  value: 2\n}" in config
    assert [line for line in config.splitlines() if "allowed_batch_sizes" in line] == [
        "allowed_batch_sizes: 1",
        "allowed_batch_sizes: 2",
    ]


def test_a_preset_of_the_same_name_is_refused(tmp_path: Path) -> None:
    options = make_options(
        {
            "model": "demo:stories",
            "prompt_lengths": [8],
            "split_by_length": True,
            "warmup": "none",
            "signatures": {"serving_default_8": {"num_beams": 2}},
        }
    )
    with pytest.raises(OptionError, match="two signatures would be called 'serving_default_8'"):
        export(options, tmp_path)
