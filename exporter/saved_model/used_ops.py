"""The ops of a written graph, functions included."""

from __future__ import annotations

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2


def used_ops(directory: Path) -> set[str]:
    """Names of the ops that a server needs for the version."""
    model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    (meta,) = model.meta_graphs
    functions = meta.graph_def.library.function
    nodes = [*meta.graph_def.node, *(node for function in functions for node in function.node_def)]
    return {node.op for node in nodes} - {function.signature.name for function in functions}
