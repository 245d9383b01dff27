"""What TensorFlow's classes of transformers 4 called a weight, and how they kept it, against PyTorch's.

Source: ``convert_tf_weight_name_to_pt_weight_name`` and ``apply_transpose`` of transformers 4.57
(modeling_tf_pytorch_utils.py). A Dense kernel is [in, out] there and [out, in] here; GPT-2's Conv1D keeps
its ``weight`` as PyTorch does, but gives its bias an axis of one in front.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from exporter.checkpoint.tensor import LazyTensor, StoredTensor

_LAST = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


def of_tensorflow(tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether names are those of TensorFlow's variables; safe_serialization kept them in safetensors too."""
    return bool(tensors) and all(name.endswith(":0") for name in tensors)


def whole_name(name: str) -> str:
    """With the first level again, which shards and safetensors files lack unless ``model.`` is in the name.

    Source: ``strip_model_name_and_prefix`` of transformers 4.57 (modeling_tf_utils.py).
    """
    return name if "model." in name or "/" not in name else f"model/{name}"


def by_torch_names(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Tensors of whole names by the names and in the layouts of PyTorch's classes."""
    made = (_as_torch(variable, tensor) for variable, tensor in tensors.items())
    return {tensor.name: tensor for tensor in made}


def torch_name(variable: str) -> str:
    """``tfgpt2lm_head_model/transformer/h_._0/ln_1/gamma:0`` -> ``transformer.h.0.ln_1.weight``."""
    name = variable.replace(":0", "")
    name = re.sub(r"/[^/]*___([^/]*)/", r"/\1/", name).replace("_._", "/")
    levels = re.sub(r"//+", "/", name).split("/")
    levels = levels[1:] if len(levels) > 1 else levels
    return ".".join([*levels[:-1], _LAST.get(levels[-1], levels[-1])])


def _as_torch(variable: str, tensor: StoredTensor) -> StoredTensor:
    name, shape = torch_name(variable), tensor.shape
    kernel = variable.endswith("/kernel:0")
    if kernel and len(shape) == 2:
        shape = shape[::-1]
    elif name.endswith(".bias") and len(shape) == 2 and shape[0] == 1:
        shape = shape[1:]

    def load() -> npt.NDArray[Any]:
        array = tensor.read()
        return array.T if kernel else array.reshape(shape)

    return LazyTensor(name, tensor.dtype, shape, tensor.path, tensor.nbytes, load)
