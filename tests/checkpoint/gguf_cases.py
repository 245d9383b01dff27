"""Tiny GGUF files, as llama.cpp's converter would write them from a random model of transformers.

The converter's layouts are the inverse of what transformers' loader undoes: heads permuted, norms with one
added, kernels turned, experts in joint tensors. Names come from the gguf package's own map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers.convert_slow_tokenizer import bytes_to_unicode

Array = npt.NDArray[Any]
VOCAB = 320


@dataclass(frozen=True)
class Case:
    """An architecture: its name in GGUF, the model's configuration, and metadata.

    Attributes:
      keys: metadata behind the architecture's name.
      tokens: kind of the tokenizer, ``gpt2``, ``llama`` or ``t5``.
      kinds: quantised types, of the matrices in turn.
    """

    arch: str
    model_type: str
    config: Mapping[str, Any]
    keys: Mapping[str, Any]
    tokens: str = "gpt2"
    pre: str = "default"
    kinds: tuple[str, ...] = ("F32",)
    forward: Callable[[str, Array, Any], Array] = field(default=lambda name, array, config: array)


def permuted(name: str, array: Array, config: Any) -> Array:
    """llama: halves of a head -> pairs (``LlamaModel.permute`` of convert_hf_to_gguf.py)."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    count = next((count for key, count in heads.items() if f".{key}." in name), None)
    if count is None:
        return array
    return (
        array.reshape(count, 2, array.shape[0] // count // 2, *array.shape[1:])
        .swapaxes(1, 2)
        .reshape(array.shape)
    )


def plus_one(name: str, array: Array, config: Any) -> Array:
    """gemma: norms are kept as scales."""
    return array + 1 if name.endswith("norm.weight") else array


def turned(name: str, array: Array, config: Any) -> Array:
    """gpt2: Conv1D -> Linear."""
    conv = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    return array.T if name.endswith(conv) else array


def apart(name: str, array: Array, config: Any) -> Array:
    """bloom: query, key and value by head -> one after the other."""
    if "attn_qkv" not in name:
        return array
    heads = config.n_head
    return (
        array.reshape(heads, 3, array.shape[0] // heads // 3, *array.shape[1:])
        .swapaxes(0, 1)
        .reshape(array.shape)
    )


_SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
_KEYS = {
    "context_length": 64,
    "block_count": 2,
    "feed_forward_length": 96,
    "embedding_length": 64,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
_RMS = {**_KEYS, "rope.freq_base": 5000.0, "attention.layer_norm_rms_epsilon": 1e-5}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "rms_norm_eps": 1e-5}
_LLAMA = _SIZES | _ROPE | {"head_dim": 16}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96}
_MOE_KEYS = {"expert_count": 4, "expert_used_count": 2}
_OLD = {"vocab_size": VOCAB, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
_T5 = {"vocab_size": VOCAB, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4} | {
    "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
    "eos_token_id": 2,
}
CASES = {
    "llama": Case(
        "llama", "llama", _LLAMA, _RMS | {"rope.dimension_count": 16, "vocab_size": VOCAB},
        "llama", kinds=("Q8_0", "Q4_0", "F16", "BF16", "Q5_1", "Q4_1", "Q5_0"), forward=permuted,
    ),
    "qwen2": Case(
        "qwen2", "qwen2", _SIZES | _ROPE | {"tie_word_embeddings": True}, _RMS, pre="qwen2", kinds=("Q8_0",)
    ),
    "qwen3": Case("qwen3", "qwen3", _SIZES | _ROPE | {"head_dim": 128}, _RMS, pre="qwen2"),
    "qwen2moe": Case(
        "qwen2moe", "qwen2_moe",
        _SIZES | _ROPE | _MOE | {"moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
        _RMS | _MOE_KEYS, pre="qwen2",
    ),
    "qwen3moe": Case(
        "qwen3moe", "qwen3_moe",
        _SIZES | _ROPE | _MOE | {"head_dim": 16, "moe_intermediate_size": 768, "norm_topk_prob": True},
        _RMS | _MOE_KEYS | {"attention.key_length": 16}, pre="qwen2",
    ),
    "gemma2": Case(
        "gemma2", "gemma2", _SIZES | {"head_dim": 16, "rms_norm_eps": 1e-5, "sliding_window": 8},
        _RMS | {"attention.key_length": 16, "attention.sliding_window": 8, "rope.freq_base": 10000.0},
        "llama", kinds=("F16", "Q8_0"), forward=plus_one,
    ),
    "gemma3": Case(
        "gemma3", "gemma3_text", _SIZES | {"head_dim": 16, "rms_norm_eps": 1e-5, "sliding_window": 8},
        _RMS | {"attention.key_length": 16, "attention.sliding_window": 8, "rope.freq_base": 1e6}, "llama",
        forward=plus_one,
    ),
    "phi3": Case("phi3", "phi3", _SIZES | _ROPE, _RMS, "llama"),
    "starcoder2": Case(
        "starcoder2", "starcoder2", _SIZES | {"norm_epsilon": 1e-5},
        _KEYS | {"attention.layer_norm_epsilon": 1e-5},
    ),
    "stablelm": Case(
        "stablelm", "stablelm", _SIZES | {"use_qkv_bias": True, "layer_norm_eps": 1e-5},
        _KEYS | {"attention.layer_norm_epsilon": 1e-5},
    ),
    "falcon": Case(
        "falcon", "falcon",
        {**_OLD, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64},
        _KEYS | {"attention.head_count_kv": 1},
    ),
    "bloom": Case(
        "bloom", "bloom", {**_OLD, "hidden_size": 64},
        {**_KEYS, "attention.layer_norm_epsilon": 1e-5}, forward=apart,
    ),
    "gpt2": Case(
        "gpt2", "gpt2", {**_OLD, "n_embd": 64, "n_positions": 1024},
        _KEYS | {"context_length": 1024, "attention.layer_norm_epsilon": 1e-5},
        kinds=("Q8_0", "F32"), forward=turned,
    ),
    "t5": Case(
        "t5", "t5", _T5,
        _KEYS | {"attention.key_length": 16, "attention.layer_norm_epsilon": 1e-6,
                 "decoder_start_token_id": 0, "attention.relative_buckets_count": 32}, "t5",
    ),
}  # fmt: skip


def model_of(case: Case) -> Any:
    """A random model in which biases and scales count too."""
    config = transformers.AutoConfig.for_model(case.model_type, **case.config)
    seq2seq = config.is_encoder_decoder
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def write(case: Case, path: Path, model: Any, **more: Any) -> None:
    """Writes a file; ``more`` are further metadata."""
    writer = gguf.GGUFWriter(path, case.arch)
    for key, value in {**{f"{case.arch}.{key}": value for key, value in case.keys.items()}, **more}.items():
        _add(writer, key, value)
    tokenizer(writer, case)
    for index, (name, array) in enumerate(tensors(case, model).items()):
        kind = case.kinds[index % len(case.kinds)] if array.ndim > 1 else "F32"
        stored = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(array), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    add.get(type(value), writer.add_array)(key, value)


def tensors(case: Case, model: Any) -> dict[str, Array]:
    """By llama.cpp's names, in its layouts."""
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    processor = TENSOR_PROCESSORS.get(case.arch, TensorProcessor)(config=model.config.to_dict())
    names: dict[str, str] = get_gguf_hf_weights_map(model, processor)
    state = model.state_dict()
    found = {}
    for there, here in names.items():
        if there == "output.weight" and model.config.tie_word_embeddings:
            continue
        array = state[here].float().numpy()
        if there.endswith(("ffn_gate_exps", "ffn_up_exps")):
            half = array.shape[1] // 2
            array = array[:, :half] if "gate" in there else array[:, half:]
        whole = f"{there}.weight" if there.endswith("_exps") else there
        if whole.endswith("ffn_gate_inp_shexp.weight"):
            array = array[0]
        found[whole] = case.forward(whole, array, model.config)
    return found


def tokenizer(writer: gguf.GGUFWriter, case: Case) -> None:
    """A vocabulary of bytes, pairs and control tokens."""
    if case.tokens == "gpt2":
        alphabet = list(bytes_to_unicode().values())
        words = ["<unk>", "<s>", "</s>", *alphabet]
        merges = ["t h", "h e", "i n", "Ġ t", "th e", "Ġt he", "e r"]
        words += [merge.replace(" ", "") for merge in merges]
        scores = None
    else:
        merges = None
        words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        words += ["▁", *"theinr", "th", "▁t", "▁th", "▁the", "in", "er"]
        scores = [0.0] * 3 + [-float(index) for index in range(3, VOCAB)]
    words += [f"<extra_{index}>" for index in range(VOCAB - len(words))]
    types = [3 if index < 3 else 4 if word.startswith("<extra") else 6 if word.startswith("<0x") else 1
             for index, word in enumerate(words)]  # fmt: skip
    writer.add_tokenizer_model(case.tokens)
    writer.add_tokenizer_pre(case.pre)
    writer.add_token_list(words)
    writer.add_token_types(types)
    if merges:
        writer.add_token_merges(merges)
    if scores:
        writer.add_token_scores(scores)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if case.arch == "phi3":  # whose default is an id beyond this vocabulary
        writer.add_pad_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
