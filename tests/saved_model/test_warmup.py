"""Which requests are recorded for the server to replay."""

from __future__ import annotations

from typing import Literal

import pytest

from exporter.errors import OptionError
from exporter.generation.generation_options import GenerationOptions
from exporter.manifest import Buckets, SignatureInfo, TensorInfo
from exporter.saved_model.records import text_lengths, warmup_records
from exporter.saved_model.served import ProgramKey, Served
from exporter.saved_model.warmup import Request, bucket_texts, warmup_requests

TEXT = SignatureInfo(inputs={"text": TensorInfo(dtype="string", shape=(None,))}, outputs={})
PROGRAM = ProgramKey("generation", GenerationOptions())


def _requests(lengths: int, batches: int, mode: Literal["none", "minimal", "full"] = "full") -> list[Request]:
    buckets = Buckets(prompt_lengths=tuple(range(8, 8 + lengths)), batch_sizes=tuple(range(1, 1 + batches)))
    served = [
        Served("serving_default", "text", PROGRAM, "serving_default", buckets.prompt_lengths, "error"),
        Served("serving_default_8", "text", PROGRAM, "serving_default", (8,), "error"),
    ]
    records = warmup_records(served, buckets, mode)
    texts = {length: "x" * length for length in buckets.prompt_lengths}
    return warmup_requests(records, {signature.name: TEXT for signature in served}, texts)


def test_one_request_per_signature_and_bucket_with_exactly_its_rows() -> None:
    asked = {(name, len(inputs["text"]), len(inputs["text"][0])) for name, inputs in _requests(2, 3)}
    everywhere = {("serving_default", rows, length) for rows in (1, 2, 3) for length in (8, 9)}
    assert asked == everywhere | {("serving_default_8", rows, 8) for rows in (1, 2, 3)}
    assert {name for name, _ in _requests(2, 3, "minimal")} == {"serving_default"}
    assert _requests(2, 3, "none") == []


def test_more_records_than_the_server_takes_are_refused() -> None:
    """999 + 1 = 1000 records are taken, one batch size more is not."""
    assert len(_requests(999, 1)) == 1000
    with pytest.raises(OptionError, match="make 2000 records, TensorFlow Serving takes 1000: shorten"):
        _requests(999, 2)


def test_texts_are_looked_for_where_a_record_needs_one() -> None:
    """Words are three tokens here: no text falls into the bucket of 4 and 5 tokens."""
    buckets = Buckets(prompt_lengths=(3, 5, 6), batch_sizes=(1,))
    served = [
        Served("tokens", "tokens", PROGRAM, "serving_default", (3, 5, 6), "error"),
        Served("serving_default", "text", PROGRAM, "serving_default", (3, 6), "error"),
        Served("decode", "decode", None, "serving_default", (3, 5, 6), "error"),
    ]

    def count(text: str) -> int:
        return 3 * len(text.split())

    lengths = text_lengths(warmup_records(served, buckets, "full"), served)
    assert {length: count(text) for length, text in bucket_texts(count, buckets, lengths).items()} == {
        3: 3,
        6: 6,
    }
    for mode in ("none", "minimal"):  # every program is reached through "tokens"
        assert bucket_texts(count, buckets, text_lengths(warmup_records(served, buckets, mode), served)) == {}
    with pytest.raises(OptionError, match=r"no sample text of 4 to 5 tokens .* --warmup none"):
        bucket_texts(count, buckets, {5})
