"""Llama and models of its plan: pre-norm RMSNorm, rotary positions, gated feed-forward blocks."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.families.weights import Names
from exporter.spec import HeadSpec, LayerSpec, ModelSpec

LLAMA_NAMES = Names(
    prefixes=("model.", ""),
    tokens="embed_tokens",
    layer="layers.{i}.",
    attention_norm="input_layernorm",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    final_norm="norm",
    unused=(r"\.rotary_emb\.inv_freq$",),
)


def read_llama(config: ConfigReader) -> ModelSpec:
    """Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024)."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm, bias = rms_norm(config), config.flag("attention_bias", False)
    config.expect("rope_interleaved", False, why="the reference turns halves")
    rotary = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(rotary=rotary, qkv_bias=bias, out_bias=bias)
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("llama", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_mistral(config: ConfigReader) -> ModelSpec:
    """Mistral 7B and kin (Jiang et al. 2023): every layer sees ``sliding_window`` positions."""
    shape = read_shape(
        config, vocab=32000, hidden=4096, width=14336, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    norm, rotary = rms_norm(config), read_rotary(config, shape.head_dim, shape.max_length)
    window = config.optional_integer("sliding_window", None if "sliding_window" in config else 4096)
    attention = shape.attention(rotary=rotary, window=window)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("mistral", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_qwen(config: ConfigReader, model_type: str) -> ModelSpec:
    """Qwen2 (query, key and value biases) and Qwen3 (query and key norms instead)."""
    third = model_type == "qwen3"
    shape = read_shape(
        config,
        vocab=151936,
        hidden=4096,
        width=22016,
        layers=32,
        heads=32,
        kv_heads=32,
        head_dim=128 if third else None,
        max_length=32768,
    )
    norm, rotary = rms_norm(config), read_rotary(config, shape.head_dim, shape.max_length)
    window = config.optional_integer("sliding_window", None if "sliding_window" in config else 4096)
    window = window if config.flag("use_sliding_window", False) else None
    config.expect("use_mrope", False, why="multimodal positions")
    first = config.integer("max_window_layers", 28, minimum=0)
    windows = read_windows(config, shape.layers, window, lambda layer: window is not None and layer >= first)
    if third:
        bias = config.flag("attention_bias", False)
        attention = shape.attention(rotary=rotary, qk_norm=norm, qkv_bias=bias, out_bias=bias)
    else:
        attention = shape.attention(rotary=rotary, qkv_bias=True)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    layers = [replace(layer, attention=replace(attention, window=size)) for size in windows]
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


LLAMA = Family(read_llama, LLAMA_NAMES, harmless=("is_llama_config", "max_sequence_length", "pretraining_tp"))
MISTRAL = Family(read_mistral, LLAMA_NAMES)
QWEN2 = Family(lambda config: read_qwen(config, "qwen2"), LLAMA_NAMES)
QWEN3 = Family(
    lambda config: read_qwen(config, "qwen3"),
    replace(LLAMA_NAMES, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm"),
)
