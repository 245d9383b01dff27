"""TensorProto without TensorFlow, against TensorFlow's own conversions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.client import messages
from exporter.client.tensors import dtype_name, from_proto, to_proto

TENSOR = messages.CORE.message("TensorProto")
NUMBERS = {
    "float": (tf.float32, [1.5, -0.0, 3e38, float("inf")]),
    "double": (tf.float64, [1e300, -2.5]),
    "half": (tf.float16, [0.5, -65504.0]),
    "bfloat16": (tf.bfloat16, [0.5, -3.0, 1e38]),
    "int8": (tf.int8, [-128, 127]),
    "uint8": (tf.uint8, [0, 255]),
    "int16": (tf.int16, [-(2**15), 2**15 - 1]),
    "uint16": (tf.uint16, [0, 2**16 - 1]),
    "int32": (tf.int32, [-(2**31), 2**31 - 1]),
    "int64": (tf.int64, [-(2**63), 2**63 - 1]),
    "uint32": (tf.uint32, [0, 2**32 - 1]),
    "uint64": (tf.uint64, [0, 2**64 - 1]),
    "bool": (tf.bool, [True, False]),
}


def tensor_proto() -> Any:
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto


def numpy(array: Any) -> np.ndarray:
    return np.asarray(array).astype(np.float32) if str(array.dtype) == "bfloat16" else np.asarray(array)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_both_ways(dtype: str) -> None:
    """As raw content (make_tensor_proto) and as typed values (the server's answers)."""
    kind, values = NUMBERS[dtype]
    sent = tensor_proto().FromString(to_proto([values], dtype).SerializeToString())
    expected = np.array([values], kind.as_numpy_dtype)
    assert sent.dtype == kind.as_datatype_enum
    np.testing.assert_array_equal(tf.make_ndarray(sent), expected)
    raw = tf.make_tensor_proto(expected)
    typed = tf.make_tensor_proto(expected)
    typed.ClearField("tensor_content")
    field = {"half": "half_val", "bfloat16": "half_val", "float": "float_val", "double": "double_val"}
    field |= {"int64": "int64_val", "uint32": "uint32_val", "uint64": "uint64_val", "bool": "bool_val"}
    numbers = expected.view(np.uint16) if dtype in ("half", "bfloat16") else expected
    name = field.get(dtype, "int_val")
    typed.ClearField(name)
    getattr(typed, name).extend(numbers.reshape(-1).tolist())
    for proto in (raw, typed):
        message = TENSOR.FromString(proto.SerializeToString())
        assert dtype_name(message) == dtype
        np.testing.assert_array_equal(from_proto(message), numpy(tf.make_ndarray(proto)))


def test_values_that_repeat() -> None:
    """TensorFlow compresses: the last value stands for the rest."""
    proto = tf.make_tensor_proto(1.5, shape=[2, 3])
    assert len(proto.float_val) == 1
    assert from_proto(TENSOR.FromString(proto.SerializeToString())).tolist() == [[1.5] * 3] * 2
    empty = tensor_proto()(dtype=tf.int32.as_datatype_enum)
    empty.tensor_shape.dim.add(size=2)
    assert from_proto(TENSOR.FromString(empty.SerializeToString())).tolist() == [0, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=6), min_size=2, max_size=2), max_size=3))
def test_strings_both_ways(rows: list[list[bytes]]) -> None:
    array = np.empty((len(rows), 2), object)
    for index, row in enumerate(rows):
        array[index] = row
    sent = tensor_proto().FromString(to_proto(array, "string").SerializeToString())
    assert tf.make_ndarray(sent).reshape(len(rows), 2).tolist() == rows
    received = TENSOR.FromString(
        tf.make_tensor_proto(array, dtype=tf.string, shape=array.shape).SerializeToString()
    )
    assert from_proto(received).tolist() == rows


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (["é", b"\xff"], "string"),
        ([1, 2], "int32"),
        ([0.5], "float"),
        ([True], "bool"),
        ([], "float"),
        ("x", "string"),
        (np.array([1], np.int64), "int64"),
        (np.array([1.0]), "double"),
    ],
)
def test_natural_dtypes_are_tensorflows(value: Any, dtype: str) -> None:
    ours = to_proto(value)
    assert dtype_name(ours) == dtype
    array = np.asarray(value, object) if dtype == "string" else value
    other = tf.make_tensor_proto(array)
    assert other.dtype == ours.dtype
    assert [dim.size for dim in other.tensor_shape.dim] == [dim.size for dim in ours.tensor_shape.dim]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([0.5], "int32", "int32 is needed"),
        ([2**31], "int32", "does not fit into int32"),
        ([2**70], "int64", "does not fit into int64"),
        ([2**64, 0], "uint64", "does not fit into uint64"),
        ([-1], "uint8", "does not fit into uint8"),
        ([True], "int32", "int32 is needed"),
        ([1], "bool", "bool is needed"),
        (["a"], "float", "float is needed"),
        ([1], "string", "a string is needed, got 1"),
        ([[1], [1, 2]], "int32", "rows of different lengths"),
        ([["a"], ["a", "b"]], "string", "a string is needed|rows of different lengths"),
        ([1], "invalid", "dtype invalid cannot be sent"),
        ([{}], None, "object are no tensor"),
        ([1j], None, "complex128 are no tensor"),
    ],
)
def test_what_cannot_be_sent(value: Any, dtype: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_proto(value, dtype)


def test_what_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="dtype variant has no array"):
        from_proto(TENSOR(dtype=21))
    with pytest.raises(ValueError, match="dtype 999 has no array"):
        from_proto(TENSOR(dtype=999))
    with pytest.raises(ValueError, match="dtype invalid has no array"):
        from_proto(TENSOR())
    with pytest.raises(ValueError, match=r"2 values for shape \[\]"):
        from_proto(TENSOR(dtype=3, int_val=[1, 2]))
    negative = TENSOR(dtype=3)
    negative.tensor_shape.dim.add(size=-1)
    with pytest.raises(ValueError, match=r"0 values for shape \[-1\]"):
        from_proto(negative)
