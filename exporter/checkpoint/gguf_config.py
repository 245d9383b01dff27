"""A GGUF file's metadata -> config.json, as transformers reads them.

Source: ``GGUF_CONFIG_MAPPING`` of transformers 5.24 (integrations/ggml.py) and ``load_gguf_checkpoint``
(modeling_gguf_pytorch_utils.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.checkpoint.gguf_file import GgufFile, damaged
from exporter.checkpoint.gguf_names import LAYOUTS
from exporter.errors import CheckpointError, did_you_mean

_Keys = dict[str, str | None]
_COMMON: _Keys = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "embedding_length": "hidden_size",
    "rope.dimension_count": None,
    "rope.freq_base": "rope_theta",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "vocab_size": "vocab_size",
}
_LLAMA: _Keys = _COMMON | {"rope.dimension_count": "head_dim"}
_EXPERTS: _Keys = {"expert_count": "num_experts", "expert_used_count": "num_experts_per_tok"}
_HEAD: _Keys = {"attention.key_length": "head_dim"}
_GEMMA: _Keys = {**_HEAD, "attention.sliding_window": "sliding_window"}
_T5: _Keys = {
    "context_length": "n_positions",
    "block_count": "num_layers",
    "feed_forward_length": "d_ff",
    "embedding_length": "d_model",
    "attention.key_length": "d_kv",
    "attention.head_count": "num_heads",
    "attention.head_count_kv": None,
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
    "attention.relative_buckets_count": "relative_attention_num_buckets",
    "decoder_start_token_id": "decoder_start_token_id",
    "vocab_size": "vocab_size",
}
#: model_type -> key of the metadata, behind the architecture -> key of config.json; None: of no effect there.
_KEYS: dict[str, _Keys] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _COMMON,
    "qwen2_moe": _COMMON | _EXPERTS,
    "qwen3": _COMMON,
    "qwen3_moe": _COMMON | _EXPERTS | _HEAD,
    "gemma2": _COMMON | _GEMMA,
    "gemma3_text": _COMMON | _GEMMA,
    "phi3": _COMMON,
    "falcon": _COMMON | {"attention.head_count_kv": None},
    "stablelm": {
        "context_length": "max_position_embeddings",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "embedding_length": "hidden_size",
        "rope.dimension_count": None,
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.layer_norm_epsilon": "layer_norm_eps",
        "vocab_size": "vocab_size",
    },
    "starcoder2": {
        "block_count": "num_hidden_layers",
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.layer_norm_epsilon": "norm_epsilon",
    },
    "bloom": {
        "block_count": "n_layer",
        "embedding_length": "hidden_size",
        "attention.head_count": "n_head",
        "vocab_size": "vocab_size",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    "gpt2": {
        "block_count": "n_layer",
        "context_length": "n_ctx",
        "embedding_length": "n_embd",
        "feed_forward_length": "feed_forward_length",
        "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    "t5": _T5,
    "umt5": _T5,
}
_TOKENS = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "padding_token_id": "pad_token_id",
}
#: The file's ``general.architecture`` -> model_type, where they differ.
_MODEL_TYPES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gemma3": "gemma3_text"}
#: What transformers maps, but not to a model that could be exported.
_REFUSED = {
    "gpt-oss": "transformers maps no names to its experts; export the original checkpoint",
    "t5encoder": "an encoder alone generates no text",
}
_UNTIED = ("falcon", "bloom")  # always tied


def config_of(file: GgufFile) -> dict[str, Any]:
    """What config.json would be.

    Raises:
      CheckpointError: an architecture that transformers does not map, or metadata that do not name one.
    """
    architecture = _architecture(file)
    model_type = _model_type(file.path, architecture, str(file.metadata.get("general.name", "")))
    output = "output.weight" in file.tensors
    config: dict[str, Any] = {
        "model_type": model_type,
        "tie_word_embeddings": not output or architecture in _UNTIED,
        **_special(model_type, file),
    }
    for key, target in _KEYS[model_type].items():
        value = file.metadata.get(f"{architecture}.{key}")
        if target is not None and value is not None:
            config[target] = value
    for key, target in _TOKENS.items():
        if (value := file.metadata.get(f"tokenizer.ggml.{key}")) is not None:
            config[target] = value
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if "vocab_size" not in config and isinstance(tokens, list):
        config["vocab_size"] = len(tokens)
    return config


def unread(file: GgufFile) -> list[str]:
    """Metadata of the architecture that transformers does not read: it takes its defaults in their place."""
    architecture = _architecture(file)
    known = _KEYS[_model_type(file.path, architecture, str(file.metadata.get("general.name", "")))]
    return [
        key
        for key in file.metadata
        if key.startswith(f"{architecture}.") and key.removeprefix(f"{architecture}.") not in known
    ]


def _architecture(file: GgufFile) -> str:
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise damaged(file.path, f"general.architecture={architecture!r} is no name")
    return architecture


def _model_type(path: Path, architecture: str, name: str) -> str:
    if architecture in _REFUSED:
        raise CheckpointError(f"{path}: architecture {architecture!r}: {_REFUSED[architecture]}")
    if architecture == "llama" and name == "mistral":
        return "mistral"
    if architecture == "t5" and "umt5" in name.lower():
        return "umt5"
    if architecture not in LAYOUTS:
        raise CheckpointError(
            f"{path}: the architecture {architecture!r} is not read from GGUF"
            f"{did_you_mean(architecture, LAYOUTS)}; those that are: {', '.join(sorted(LAYOUTS))}; "
            "export the original checkpoint"
        )
    return _MODEL_TYPES.get(architecture, architecture)


def _special(model_type: str, file: GgufFile) -> dict[str, Any]:
    """What transformers reads from the tensors' names, or knows of llama.cpp."""
    if model_type in ("t5", "umt5"):
        return {"is_gated_act": True}
    if model_type == "qwen3_moe":
        return {"norm_topk_prob": True}
    if model_type == "stablelm":
        biased = any(f"attn_{key}.bias" in name for name in file.tensors for key in "qkv")
        return {
            "use_qkv_bias": biased,
            "use_parallel_residual": not any("ffn_norm" in name for name in file.tensors),
        }
    return {}
