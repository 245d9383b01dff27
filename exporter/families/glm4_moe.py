"""GLM-4.5 to 4.7 (Zhipu AI 2025), and Solar Open (Upstage 2026), which has no dense layers."""

from __future__ import annotations

from exporter.families.deepseek_router import deepseek_experts, read_deepseek_mixture
from exporter.families.experts import ROUTER_OUTPUT, some_mixed
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec, MoeSpec, NormSpec


def read_glm4_moe(config: ConfigReader) -> ModelSpec:
    """The first layers are dense; half of every head turns."""
    shape = read_shape(
        config,
        vocab=151552,
        hidden=4096,
        width=10944,
        layers=46,
        heads=96,
        kv_heads=8,
        head_dim=dense_head_dim(config),
        max_length=131072,
    )
    norm = rms_norm(config, 1e-5)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, partial=0.5),
        qkv_bias=config.flag("attention_bias", False),
        qk_norm=norm if config.flag("use_qk_norm", False) else None,
    )
    mixture = read_deepseek_mixture(config, width=1408, experts=128, top_k=8)
    return first_dense(config, "glm4_moe", shape, attention, mixture, norm)


def first_dense(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    attention: AttentionSpec,
    mixture: MoeSpec,
    norm: NormSpec,
) -> ModelSpec:
    """A model whose first layers are dense, and whose others mix."""
    first, plain = config.integer("first_k_dense_replace", 1, 0), gated_mlp(config, shape.width)
    mixed = [layer >= first for layer in range(shape.layers)]
    layers = some_mixed([attention] * shape.layers, mixed, mixture, plain, norm)
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


def dense_head_dim(config: ConfigReader) -> int:
    """Where head_dim is absent: heads need not fill the hidden size."""
    hidden, heads = config.integer("hidden_size", 4096), config.integer("num_attention_heads", 96)
    return max(1, hidden // heads)


def read_solar_open(config: ConfigReader) -> ModelSpec:
    """A mixture in every layer; heads turn whole."""
    shape = read_shape(
        config,
        Keys(width="", kv_heads="num_key_value_heads", head_dim="head_dim"),
        vocab=196608,
        hidden=4096,
        layers=48,
        heads=64,
        kv_heads=8,
        head_dim=128,
        max_length=131072,
    )
    norm = rms_norm(config, 1e-5)
    turning = read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0)
    attention = shape.attention(rotary=turning, qkv_bias=config.flag("attention_bias", False))
    mixture = read_deepseek_mixture(config, width=1280, experts=128, top_k=8)
    layer = LayerSpec(attention, mixture, attention_norm=norm, mlp_norm=norm)
    return shape.model("solar_open", [layer] * shape.layers, norm, HeadSpec(tied(config)))


NAMES = deepseek_experts(NORMED_NAMES)
ALIASES = {"num_local_experts": "n_routed_experts"}

GLM4_MOE = Family(
    read_glm4_moe,
    NAMES,
    harmless=ROUTER_OUTPUT,
    aliases={**ALIASES, "num_mtp_layers": "num_nextn_predict_layers"},
)
SOLAR_OPEN = Family(read_solar_open, NAMES, harmless=ROUTER_OUTPUT, aliases=ALIASES)
