"""Which requests are recorded for the server to replay, and what each of them runs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from exporter.choices import RowErrors, Warmup
from exporter.errors import OptionError
from exporter.generation.generation_options import GenerationOptions
from exporter.manifest import WARM_UP, Buckets, SignatureInfo, TensorInfo
from exporter.saved_model.programs import Programs
from exporter.saved_model.records import warmup_records
from exporter.saved_model.served import ProgramKey, Served
from exporter.saved_model.signatures import Policy
from exporter.saved_model.warming import warm_up_signature
from exporter.saved_model.warmup import Request, warmup_requests
from tests.generation.toy import ToyModel, random_weights

TEXT = SignatureInfo(inputs={"text": TensorInfo(dtype="string", shape=(None,))}, outputs={})
IDS = SignatureInfo(
    inputs={
        "input_ids": TensorInfo(dtype="int32", shape=(None, 9)),
        "num_tokens": TensorInfo(dtype="int32", shape=(None,)),
    },
    outputs={},
)
NUMBERS = SignatureInfo(
    inputs={
        name: TensorInfo(dtype="int32", shape=(None,)) for name in ("program", "prompt_tokens", "new_tokens")
    },
    outputs={},
)
PROGRAM = ProgramKey("generation", GenerationOptions())
OTHER = ProgramKey("next_token", size=3)


def _requests(
    lengths: int, batches: int, mode: Warmup = "full", row_errors: RowErrors = "answer"
) -> list[Request]:
    buckets = Buckets(prompt_lengths=tuple(range(8, 8 + lengths)), batch_sizes=tuple(range(1, 1 + batches)))
    served = [
        Served("serving_default", "text", PROGRAM, "serving_default", buckets.prompt_lengths, "error"),
        Served("tokens", "tokens", PROGRAM, "serving_default", buckets.prompt_lengths, "error"),
        Served("next_token", "next_token", OTHER, "serving_default", buckets.prompt_lengths, "error"),
    ]
    records = warmup_records(served, buckets, mode, row_errors)
    infos = {"serving_default": TEXT, "tokens": IDS, "next_token": TEXT, WARM_UP: NUMBERS}
    return warmup_requests(records, infos)


def test_every_program_in_every_bucket_for_one_token_and_every_signature_once() -> None:
    requests = _requests(2, 3)
    warm = [inputs for name, inputs in requests if name == WARM_UP]
    shapes = {(len(row["program"]), row["program"][0], row["prompt_tokens"][0]) for row in warm}
    assert shapes == {
        (rows, program, length) for rows in (1, 2, 3) for program in (0, 1) for length in (8, 9)
    }
    assert len(warm) == len(shapes)
    assert all(set(row["new_tokens"]) == {1} for row in warm)
    others = {name: inputs for name, inputs in requests if name != WARM_UP}
    # No UTF-8, and a count that no row has: answered with the row's error before anything is generated.
    assert others["serving_default"] == others["next_token"] == {"text": [b"\xff"]}
    assert others["tokens"] == {"input_ids": [[0] * 9], "num_tokens": [-1]}


@pytest.mark.parametrize(("mode", "row_errors"), [("minimal", "answer"), ("full", "raise")])
def test_no_row_with_an_error_is_recorded(mode: Warmup, row_errors: RowErrors) -> None:
    """With "raise" it would fail the load."""
    requests = _requests(2, 3, mode, row_errors)
    assert {name for name, _ in requests} == {WARM_UP}
    assert len(requests) == 2 * 2 * 3
    assert _requests(2, 3, "none") == []


def test_more_records_than_the_server_takes_are_refused() -> None:
    """2 programs x 250 lengths x 2 rows are 1000 and taken; a record per signature more is not."""
    assert len(_requests(250, 2, "minimal")) == 1000
    with pytest.raises(OptionError, match="make 1003 records, TensorFlow Serving takes 1000: shorten"):
        _requests(250, 2)


def test_the_signature_runs_the_program_and_bucket_that_are_asked_for() -> None:
    """Seen from the compiled functions: which shapes reach which of them, and how many tokens they answer."""
    buckets = Buckets(prompt_lengths=(4, 6), batch_sizes=(1, 2))
    programs = Programs(ToyModel(random_weights(13)), buckets, 0, None)
    options = GenerationOptions(max_new_tokens=5, eos_token_id=())
    built = [programs.get(ProgramKey("generation", options)), programs.get(OTHER)]
    shapes: list[tuple[int, int, int]] = []
    for number, program in enumerate(built):
        inner = getattr(program, "program", program)
        inner.compiled = _watched(inner.compiled, number, shapes)
    signature = warm_up_signature(built, Policy(longest=6))

    def ask(program: int, prompt: int, new: int, rows: int) -> list[int]:
        values = {"program": program, "prompt_tokens": prompt, "new_tokens": new}
        inputs = {name: tf.fill([rows], np.int32(value)) for name, value in values.items()}
        return list(signature.function(**inputs)["num_tokens"].numpy())

    assert ask(0, 4, 1, 1) == [1]
    assert ask(0, 5, 3, 2) == [3, 3]
    assert ask(0, 99, 99, 2) == [5, 5]
    assert ask(1, 6, 1, 2) == [1, 1]
    assert ask(7, 3, 1, 1) == [1]
    assert ask(0, 3, 1, 0) == []
    assert shapes == [(0, 1, 4), (0, 2, 6), (0, 2, 6), (1, 2, 6), (1, 1, 4)]


def _watched(compiled: object, number: int, shapes: list[tuple[int, int, int]]) -> object:
    def call(tokens: tf.Tensor, *rest: tf.Tensor) -> object:
        def note(rows: np.ndarray) -> np.int32:
            shapes.append((number, *rows.shape))
            return np.int32(0)

        with tf.control_dependencies([tf.numpy_function(note, [tokens], tf.int32)]):
            return compiled(tf.identity(tokens), *rest)  # type: ignore[operator]

    return call
