"""One loaded SavedModel version: its signatures, and running them. Knows nothing of genserve's models."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of tf.Text, which a stock server links in

from exporter.preview.json_tensor import Tensors
from exporter.preview.status import Code, StatusError, invalid
from exporter.preview.tensors import dtype_name

DEFAULT_SIGNATURE = "serving_default"
_TRACE = re.compile(r"\s*\[\[\{\{node .*|\s*\[Op:.*", re.DOTALL)


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature; a None dimension is open, a None shape of any rank."""

    dtype: Any
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A callable signature."""

    name: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    function: Callable[..., Mapping[str, Any]]


class Servable:
    """A version of a model, ready to run. Safe to call from several threads.

    Attributes:
      run: runs a signature on its inputs and gives the named outputs; the batcher replaces it.
      on_unload: called when the version has answered its last request.
    """

    def __init__(self, name: str, version: int, directory: Path) -> None:
        self.name = name
        self.version = version
        self.directory = directory
        self._loaded = tf.saved_model.load(str(directory), tags=["serve"])
        self.signature_defs = _signature_defs(directory)
        self.signatures = {
            signature: _signature(signature, function)
            for signature, function in self._loaded.signatures.items()
        }
        self.run: Callable[[Signature, Tensors, Sequence[str]], Tensors] = run_signature
        self.on_unload: Callable[[], None] = lambda: None
        self._in_flight = 0
        self._idle = threading.Condition()

    def signature(self, name: str) -> Signature:
        """Raises KeyError: the caller knows which error its protocol wants."""
        return self.signatures[name or DEFAULT_SIGNATURE]

    def predict(self, signature: Signature, tensors: Tensors, output_filter: Sequence[str] = ()) -> Tensors:
        """Runs one request.

        Raises:
          StatusError: inputs that do not match the signature, or the graph's own error.
        """
        _check_names(signature, tensors)
        outputs = _check_filter(signature, output_filter)
        _check_tensors(signature, tensors)
        with self._idle:
            self._in_flight += 1
        try:
            return self.run(signature, tensors, outputs)
        finally:
            with self._idle:
                self._in_flight -= 1
                self._idle.notify_all()

    def wait_until_idle(self, timeout: float) -> bool:
        """Waits for the requests in flight; False when some are left."""
        with self._idle:
            return self._idle.wait_for(lambda: self._in_flight == 0, timeout)


def _signature(name: str, function: Any) -> Signature:
    _, inputs = function.structured_input_signature
    return Signature(
        name=name,
        inputs={key: _spec(spec) for key, spec in inputs.items()},
        outputs={key: _spec(spec) for key, spec in function.structured_outputs.items()},
        function=function,
    )


def _spec(spec: Any) -> TensorSpec:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorSpec(spec.dtype, shape)


def _signature_defs(directory: Path) -> dict[str, Any]:
    """The ``SignatureDef`` messages of the "serve" graph, for the metadata API.

    All of them, as the server lists them: also ``__saved_model_init_op``, whose output is no tensor.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph = next(graph for graph in message.meta_graphs if "serve" in graph.meta_info_def.tags)
    return dict(graph.signature_def)


def _join(names: Any) -> str:
    return ",".join(sorted(names))


def _check_names(signature: Signature, tensors: Tensors) -> None:
    sent, wanted = set(tensors), set(signature.inputs)
    if len(sent) != len(wanted):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_join(sent)}}}) != len({{{_join(wanted)}}}). "
            f"Sent extra: {{{_join(sent - wanted)}}}. Missing but required: {{{_join(wanted - sent)}}}."
        )
    for name in sorted(sent - wanted):
        raise invalid(
            f"input tensor alias not found in signature: {name}. "
            f"Inputs expected to be in the set {{{_join(wanted)}}}."
        )


def _check_filter(signature: Signature, output_filter: Sequence[str]) -> list[str]:
    for index, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{_join(signature.outputs)}}}."
            )
        if name in output_filter[:index]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return list(output_filter) or sorted(signature.outputs)


def _check_tensors(signature: Signature, tensors: Tensors) -> None:
    """Dtypes as the server checks them; shapes, which the server leaves to the graph's ops."""
    for index, (name, spec) in enumerate(sorted(signature.inputs.items())):
        array = tensors[name]
        dtype = tf.string if array.dtype == object else tf.dtypes.as_dtype(array.dtype)
        if dtype != spec.dtype:
            raise invalid(
                f"Expects arg[{index}] to be {dtype_name(spec.dtype)} but {dtype_name(dtype)} is provided"
            )
        if spec.shape is not None and not tf.TensorShape(spec.shape).is_compatible_with(array.shape):
            raise invalid(
                f"input {name!r} has shape {list(array.shape)}, but signature {signature.name!r} takes "
                f"{['?' if size is None else size for size in spec.shape]}"
            )


def run_signature(signature: Signature, tensors: Tensors, outputs: Sequence[str]) -> Tensors:
    """Calls the graph directly; any batch size reaches it."""
    arguments = {
        name: tf.constant(array, dtype=signature.inputs[name].dtype) for name, array in tensors.items()
    }
    try:
        results = signature.function(**arguments)
        return {name: _array(results[name]) for name in outputs}
    except tf.errors.OpError as error:
        raise StatusError(Code(error.error_code), _graph_message(error)) from None


def _array(tensor: Any) -> np.ndarray:
    array = np.asarray(tensor.numpy())
    # A string scalar comes back as bytes: keep it an object, or NumPy would strip trailing NULs.
    if tensor.dtype == tf.string:
        value = tensor.numpy()
        array = np.array(value, object) if isinstance(value, bytes) else value
    return array


def _graph_message(error: Any) -> str:
    """An op's own words, without Python's preamble and stack."""
    message = error.message
    if message.startswith("Graph execution error:"):
        paragraphs = message.split("\n")
        starts = [
            index for index, line in enumerate(paragraphs) if line.startswith("<stack traces unavailable>")
        ]
        message = "\n".join(paragraphs[starts[-1] + 1 :]) if starts else message
    return _TRACE.sub("", message).strip() or error.message
