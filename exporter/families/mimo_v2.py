"""MiMo-V2-Flash (Xiaomi 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.deepseek_router import deepseek_experts, read_deepseek_mixture
from exporter.families.experts import ROUTER_OUTPUT, read_layer_types, some_mixed
from exporter.families.family import Family
from exporter.families.glm4_moe import ALIASES
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import nested_rotaries
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Windowed layers have sinks, and twice as many keys and values; those are smaller than queries."""
    shape = read_shape(
        config,
        vocab=152576,
        hidden=4096,
        width=16384,
        layers=48,
        heads=64,
        kv_heads=4,
        head_dim=192,
        max_length=131072,
    )
    mixture = read_deepseek_mixture(config, width=2048, experts=256, top_k=8, shared_key="")
    mixed = read_layer_types(config, [layer > 0 for layer in range(shape.layers)])
    norm, plain = rms_norm(config, 1e-5), gated_mlp(config, shape.width)
    layers = some_mixed(_attentions(config, shape), mixed, mixture, plain, norm)
    return shape.model("mimo_v2_flash", layers, norm, HeadSpec(tied(config)))


def _attentions(config: ConfigReader, shape: Shape) -> list[AttentionSpec]:
    """The first layer and every sixth see everything, unless layer_types says otherwise."""
    before = config.optional_integer("sliding_window_size")
    window = config.integer("sliding_window", 129) if before is None else before + 1
    config.harmless("sliding_window")
    windows = read_windows(config, shape.layers, window, lambda layer: layer > 0 and (layer + 1) % 6 != 0)
    local, overall = nested_rotaries(
        config, shape, local=10_000.0, overall=5_000_000.0, part=0.334, old=False
    )
    scale = config.nullable_number("attention_value_scale", 0.707)
    full = shape.attention(
        rotary=overall,
        qkv_bias=config.flag("attention_bias", False),
        value_dim=config.integer("v_head_dim", 128),
        value_scale=1.0 if scale is None else scale,
    )
    if shape.heads % (2 * shape.kv_heads) and any(windows):
        config.problem(
            f"num_attention_heads={shape.heads} is not a multiple of twice num_key_value_heads="
            f"{shape.kv_heads}, of which windowed layers have so many"
        )
    windowed = replace(full, kv_heads=2 * shape.kv_heads, rotary=local, sinks=True)
    return [full if size is None else replace(windowed, window=size) for size in windows]


MIMO_V2_FLASH = Family(
    read,
    deepseek_experts(
        replace(LLAMA_NAMES, sinks="self_attn.sinks"),
        renames=((r"self_attn\.attention_sink_bias", "self_attn.sinks"),),
    ),
    harmless=ROUTER_OUTPUT,
    aliases=ALIASES,
)
