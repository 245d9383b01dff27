"""The JSON layer alone: every tensor survives the way there and back, and floats print as the server's do."""

from __future__ import annotations

import contextlib
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.client.rest import from_json, to_json
from exporter.preview import json_tensor
from exporter.preview.json_answer import format_decimal, format_predict
from exporter.preview.json_tensor import Input, parse_document, parse_predict

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
ARRAYS = st.one_of(
    *(
        hnp.arrays(dtype, SHAPES)
        for dtype in (np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint32, np.uint64)
    )
)
NAMES = {np.dtype(kind): name for name, kind in json_tensor.NUMPY_TYPES.items()}


def parse(fields: dict[str, Any], **dtypes: str) -> json_tensor.Tensors:
    document = parse_document(json.dumps(fields).encode())
    return parse_predict(document, {name: Input(dtype) for name, dtype in dtypes.items()}).tensors


@settings(deadline=None, max_examples=150)
@given(ARRAYS)
def test_columns_survive(array: np.ndarray) -> None:
    """What the client writes the server reads, and what the server writes the client reads."""
    dtype = NAMES[array.dtype]
    read = parse({"inputs": {"x": to_json(array)}}, x=dtype)["x"]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    body = json.loads(format_predict({"x": array}, row_format=False))
    np.testing.assert_array_equal(from_json(body["outputs"]).astype(array.dtype), array)


@settings(deadline=None, max_examples=100)
@given(ARRAYS)
def test_rows_equal_columns(array: np.ndarray) -> None:
    dtype = NAMES[array.dtype]
    plain = parse({"instances": to_json(array)}, x=dtype)["x"]
    named = parse({"instances": [{"x": row} for row in to_json(array)]}, x=dtype)["x"]
    np.testing.assert_array_equal(plain, array)
    np.testing.assert_array_equal(named, array)
    rows = json.loads(format_predict({"x": array}, row_format=True))["predictions"]
    np.testing.assert_array_equal(np.array(rows, array.dtype), array)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=4))
def test_bytes_survive(values: list[bytes]) -> None:
    read = parse({"inputs": {"x": to_json(values)}}, x="string")["x"]
    assert read.tolist() == values
    for name in ("x_bytes", "x"):
        body = format_predict({name: np.array(values, object)}, row_format=False)
        decoded = json.loads(body.decode("utf-8", "surrogateescape"))["outputs"]
        assert from_json(decoded).tolist() == values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.2), "0.2"),
        (np.float32(3), "3.0"),
        (np.float32(9e6), "9e+06"),
        (np.float32(3e-5), "3e-05"),
        (np.float32(1 / 3), "0.333333343"),
        (np.float64(1 / 3), "0.33333333333333331"),
        (np.float32(-0.0), "-0.0"),
        (np.float32(16777215), "16777215.0"),
        (np.float32("inf"), "Infinity"),
        (np.float64("-inf"), "-Infinity"),
        (np.float32("nan"), "NaN"),
    ],
)
def test_decimals(value: Any, text: str) -> None:
    assert format_decimal(value) == text


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32 - 1))
def test_every_float32_comes_back(bits: int) -> None:
    (value,) = struct.unpack("<f", struct.pack("<I", bits))
    text = format_decimal(np.float32(value))
    assert np.float32(text.replace("Infinity", "inf")).tobytes() == np.float32(value).tobytes() or np.isnan(
        value
    )


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    """No body may raise anything but the client's error."""
    for prefix, suffix in ((b"", b""), (b'{"inputs": ["', b'"]}'), (b'{"inputs": ', b"}")):
        with contextlib.suppress(json_tensor.StatusError):
            document = parse_document(prefix + body + suffix)
            parse_predict(document, {"x": Input("string")})
