"""Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import LLAMA_KEYS, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec

LLAMA_NAMES = Names(
    prefix="model.",
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
)
#: With query and key norms, as Qwen3 has them.
NORMED_NAMES = replace(LLAMA_NAMES, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
SIZES = {"vocab": 32000, "hidden": 4096, "width": 11008, "layers": 32, "heads": 32, "max_length": 2048}


def read(
    config: ConfigReader,
    model_type: str = "llama",
    *,
    epsilon: float = 1e-6,
    theta: float = 10_000.0,
    **sizes: int,
) -> ModelSpec:
    """RMS norms before the branches, rotary positions, gated feed-forward blocks.

    The other arguments are defaults of configs that the reference reads into this class; ``sizes`` as of
    ``read_shape``.
    """
    shape = read_shape(config, LLAMA_KEYS, **{**SIZES, **sizes})
    norm, bias = rms_norm(config, epsilon), config.flag("attention_bias", False)
    rotary = read_rotary(config, shape.head_dim, shape.max_length, theta=theta)
    attention = shape.attention(rotary=rotary, qkv_bias=bias, out_bias=bias)
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model(model_type, [layer] * shape.layers, norm, HeadSpec(tied(config)))


LLAMA = Family(read, LLAMA_NAMES)
