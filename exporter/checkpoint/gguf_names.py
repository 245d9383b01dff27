"""What llama.cpp calls a tensor and how it keeps it, against transformers' names and layouts.

Source: ``get_gguf_hf_weights_map`` and ``TENSOR_PROCESSORS`` of transformers 5.24
(modeling_gguf_pytorch_utils.py) with the names of the gguf package. A tensor of a layer that has no name here
gets one in that layer all the same, so that it is not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.tensor import LazyTensor, StoredTensor

Array = npt.NDArray[Any]
#: From an array as dequantised to the reference's, with config.json.
Change = Callable[[Mapping[str, Any], Array], Array]

_LAYER = re.compile(r"((?:enc\.|dec\.)?blk)\.(\d+)\.(.+?)(\.weight|\.bias)?")
_EXPERTS = {"ffn_gate_exps": "mlp.experts.gate_up_proj", "ffn_up_exps": "mlp.experts.gate_up_proj"}


@dataclass(frozen=True)
class Layout:
    """Names of an architecture, without ``.weight`` and ``.bias``.

    Attributes:
      layers: prefix of a layer there -> here, with ``{i}``.
      outside: names outside of layers.
      inside: names in a layer, behind its prefix.
      changes: pattern of names there -> what is done with the array.
    """

    layers: Mapping[str, str]
    outside: Mapping[str, str]
    inside: Mapping[str, str]
    changes: Mapping[str, Change] = field(default_factory=dict)


def by_reference_names(
    tensors: Mapping[str, StoredTensor], layout: Layout, config: Mapping[str, Any]
) -> dict[str, StoredTensor]:
    """A file's tensors by the names and in the layouts of transformers."""
    found: dict[str, StoredTensor] = {}
    gates: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        match = _LAYER.fullmatch(name)
        if match and match[3] in _EXPERTS:
            target = _layer(layout, match) + _EXPERTS[match[3]]
            gates.setdefault(target, {})[match[3]] = tensor
            continue
        made = _made(name, tensor, layout, config)
        found[made.name] = made
    found |= {target: _joined(target, parts) for target, parts in gates.items()}
    return found


def _layer(layout: Layout, match: re.Match[str]) -> str:
    return layout.layers.get(match[1], f"{match[1]}.{{i}}.").format(i=match[2])


def reference_name(name: str, layout: Layout) -> str:
    """``blk.0.attn_q.weight`` -> ``model.layers.0.self_attn.q_proj.weight``."""
    match = _LAYER.fullmatch(name)
    if match:
        leaf = layout.inside.get(f"{match[1]}.{match[3]}", layout.inside.get(match[3], match[3]))
        bare = match[3] == "ffn_down_exps"
        return _layer(layout, match) + leaf + ("" if bare else match[4] or "")
    stem, dot, suffix = name.rpartition(".")
    return layout.outside[stem] + dot + suffix if stem in layout.outside else name


def _made(name: str, tensor: StoredTensor, layout: Layout, config: Mapping[str, Any]) -> StoredTensor:
    change = next((made for pattern, made in layout.changes.items() if re.search(pattern, name)), None)
    shape = tensor.shape
    if change in (_turned, _row):  # the others keep it
        shape = change(config, np.broadcast_to(np.float32(0), shape)).shape

    def load() -> Array:
        return tensor.read() if change is None else change(config, tensor.read())

    return LazyTensor(reference_name(name, layout), tensor.dtype, shape, tensor.path, tensor.nbytes, load)


def _joined(name: str, parts: Mapping[str, StoredTensor]) -> StoredTensor:
    """The experts' gates and ups in one: [experts, gate | up, in]."""
    stored = [parts[key] for key in _EXPERTS if key in parts]
    first = stored[0]
    shape = (first.shape[0], sum(part.shape[1] for part in stored), *first.shape[2:])
    nbytes = sum(part.nbytes for part in stored)

    def load() -> Array:
        return np.concatenate([part.read() for part in stored], axis=1)

    return LazyTensor(name, first.dtype, shape, first.path, nbytes, load)


def _unpermuted(heads_key: str) -> Change:
    """llama.cpp turns pairs of numbers, transformers halves of a head."""

    def change(config: Mapping[str, Any], array: Array) -> Array:
        heads = config.get(heads_key) or config.get("num_attention_heads")
        if not heads or array.shape[0] % (2 * heads):
            return array  # the shapes are told apart from config.json's later
        pairs = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
        return pairs.swapaxes(2, 1).reshape(array.shape)

    return change


def _grouped_by_head(config: Mapping[str, Any], array: Array) -> Array:
    """Bloom's query, key and value one after the other -> by head."""
    heads, hidden = config.get("n_head"), config.get("hidden_size")
    if not heads or not hidden or array.shape[0] != 3 * hidden or hidden % heads:
        return array
    parts = array.reshape(3, heads, hidden // heads, *array.shape[1:])
    return parts.swapaxes(0, 1).reshape(array.shape)


def _less_one(config: Mapping[str, Any], array: Array) -> Array:
    return array - np.float32(1)


def _turned(config: Mapping[str, Any], array: Array) -> Array:
    return array.T


def _row(config: Mapping[str, Any], array: Array) -> Array:
    return array[np.newaxis] if array.ndim == 1 else array


_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_MOE = _INSIDE | {
    "ffn_gate_inp": "mlp.gate",
    "ffn_down_exps": "mlp.experts.down_proj",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
_GEMMA = _INSIDE | {
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_PHI3 = _INSIDE | {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
_STARCODER2 = _INSIDE | {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
_FALCON = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attention.query_key_value",
    "attn_output": "self_attention.dense",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.dense_h_to_4h",
    "ffn_down": "mlp.dense_4h_to_h",
}
_GPT2 = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_T5 = {
    f"{side}.{there}": here
    for side, block in (("enc.blk", 1), ("dec.blk", 2))
    for there, here in {
        **{f"attn_{key}": f"layer.0.SelfAttention.{key}" for key in "qkvo"},
        "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
        "attn_norm": "layer.0.layer_norm",
        **{f"cross_attn_{key}": f"layer.1.EncDecAttention.{key}" for key in "qkvo"},
        "cross_attn_norm": "layer.1.layer_norm",
        "ffn_gate": f"layer.{block}.DenseReluDense.wi_0",
        "ffn_up": f"layer.{block}.DenseReluDense.wi_1",
        "ffn_down": f"layer.{block}.DenseReluDense.wo",
        "ffn_norm": f"layer.{block}.layer_norm",
    }.items()
}
_H = {"blk": "transformer.h.{i}."}
_H_OUTSIDE = {
    "token_embd": "transformer.word_embeddings",
    "token_embd_norm": "transformer.word_embeddings_layernorm",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}


def _decoder(inside: Mapping[str, str], **changes: Change) -> Layout:
    return Layout({"blk": "model.layers.{i}."}, _OUTSIDE, inside, changes)


_PERMUTED = {
    r"\.attn_q\.": _unpermuted("num_attention_heads"),
    r"\.attn_k\.": _unpermuted("num_key_value_heads"),
}
_OFFSET = {r"norm\.weight": _less_one}
_GATE_ROW = {"ffn_gate_inp_shexp": _row}
#: By the file's ``general.architecture``.
LAYOUTS = {
    "llama": _decoder(_INSIDE, **_PERMUTED),
    **dict.fromkeys(("mistral", "qwen2", "qwen3", "stablelm"), _decoder(_INSIDE)),
    **dict.fromkeys(("qwen2moe", "qwen3moe"), _decoder(_MOE, **_GATE_ROW)),
    **dict.fromkeys(("gemma2", "gemma3"), _decoder(_GEMMA, **_OFFSET)),
    "phi3": _decoder(_PHI3),
    "starcoder2": _decoder(_STARCODER2),
    "falcon": Layout(_H, _H_OUTSIDE, _FALCON),
    "bloom": Layout(_H, _H_OUTSIDE, _FALCON, {"attn_qkv": _grouped_by_head}),
    "gpt2": Layout(
        _H,
        {**_H_OUTSIDE, "token_embd": "transformer.wte", "position_embd": "transformer.wpe"},
        _GPT2,
        {r"\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight": _turned},
    ),
    "t5": Layout(
        {"enc.blk": "encoder.block.{i}.", "dec.blk": "decoder.block.{i}."},
        {
            "token_embd": "shared",
            "enc.output_norm": "encoder.final_layer_norm",
            "dec.output_norm": "decoder.final_layer_norm",
            "output": "lm_head",
        },
        _T5,
    ),
}
