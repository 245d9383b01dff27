"""A request of one row for every signature of a version, made of its manifest alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from exporter.manifest import Manifest, TensorInfo

#: What switches a per-row option off that the exported defaults do not use where nothing is drawn.
_GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
_SEED = 1
#: Where rows choose from guides: none.
_NO_GUIDE = -1
_TEXT = "Once upon a time"
#: Ids that every vocabulary has.
_IDS = (1, 0, 1, 2)
#: Of answers in pieces: the first tokens of an answer that has none yet.
_FIRST_PIECE = {"num_generated": 0, "piece_tokens": 1}


def row_options(manifest: Manifest, names: Mapping[str, Any], limit: int | None = None) -> dict[str, Any]:
    """The exported defaults as inputs of one row, for those of ``names`` that are generation options."""
    values = dict(manifest.generation)
    if not values.get("do_sample"):
        values |= _GREEDY
    values |= {"seed": _SEED, "guide": _NO_GUIDE, "max_new_tokens": limit or manifest.max_new_tokens}
    return {name: [values[name]] for name in names if name in values}


def example_inputs(manifest: Manifest, signature: str) -> dict[str, Any]:
    """Input name -> a column of one row."""
    inputs = manifest.signatures[signature].inputs
    columns: dict[str, Any] = row_options(manifest, inputs)
    for name, info in inputs.items():
        if name == "system":
            columns[name] = [""]
        elif name == "segments":
            columns[name] = [["", _TEXT, *[""] * (info.shape[1] or 1)][: info.shape[1] or 1]]
        elif name == "continuation":
            columns[name] = [" there"]
        elif name == "input_ids":
            width = info.shape[1] or len(_IDS)
            columns[name] = [[*_IDS, *[0] * width][:width]]
            columns["num_tokens"] = [min(len(_IDS), width)]
        elif info.dtype == "string":
            columns[name] = [_TEXT]
        elif name not in columns and name != "num_tokens":
            columns[name] = [_unused(name, info)]
    return {name: columns[name] for name in inputs}


def _unused(name: str, info: TensorInfo) -> Any:
    """Of one row: what switches a list of ids, their biases or a flag off; the first piece of an answer."""
    if name in _FIRST_PIECE:
        return _FIRST_PIECE[name]
    value: Any = {"bool": False, "float32": 0.0, "string": ""}.get(info.dtype, -1)
    if name == "generated_ids":
        value = 0
    return [value] * (info.shape[1] or 1) if len(info.shape) == 2 else value


def rest_body(manifest: Manifest, signature: str) -> dict[str, Any]:
    """The body of a request to TensorFlow Serving's ``:predict``."""
    return {"signature_name": signature, "inputs": example_inputs(manifest, signature)}


def curl_line(manifest: Manifest, signature: str, url: str = "http://localhost:8501") -> str:
    """The same request, for a shell."""
    body = json.dumps(rest_body(manifest, signature), ensure_ascii=False)
    path = f"/v1/models/{quote(manifest.name, safe='')}/versions/{manifest.version}:predict"
    return f"curl -s {shlex.quote(url + path)} -d {shlex.quote(body)}"
