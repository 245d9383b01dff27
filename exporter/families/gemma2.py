"""Gemma 2 (Gemma Team 2024), VaultGemma: soft caps, norms around branches, every other layer windowed."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.gemma import gemma_attention, gemma_model, gemma_norm, scaled_model
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, read_shape, read_windows
from exporter.spec import AttentionSpec, LayerSpec, MlpSpec, ModelSpec

GEMMA2_NAMES = replace(
    LLAMA_NAMES,
    attention_out_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
)


def read_gemma2(config: ConfigReader) -> ModelSpec:
    """Gemma 1 with the changes above; null switches a cap or the windows off."""
    shape, layers, cap = gemma2_layers(config)
    return gemma_model(config, "gemma2", shape, layers, gemma_norm(config), cap)


def read_vaultgemma(config: ConfigReader) -> ModelSpec:
    """Gemma 2 without the norms behind the branches."""
    shape, layers, cap = gemma2_layers(config)
    bare = [replace(layer, attention_out_norm=None, mlp_out_norm=None) for layer in layers]
    return scaled_model(config, "vaultgemma", shape, bare, gemma_norm(config), cap)


def gemma2_layers(config: ConfigReader) -> tuple[Shape, list[LayerSpec], float | None]:
    """The layers, and the soft cap of the logits."""
    shape = read_shape(
        config,
        vocab=256000,
        hidden=2304,
        width=9216,
        layers=26,
        heads=8,
        kv_heads=4,
        head_dim=256,
        max_length=8192,
    )
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    windows = gemma_windows(config, shape, 2)
    caps = config.nullable_number("attn_logit_softcapping", 50.0)
    attention = gemma_attention(config, shape, turning, softcap=caps, scale=query_scale(config))
    layers = [gemma_layer(config, shape, replace(attention, window=window)) for window in windows]
    final = config.nullable_number("final_logit_softcapping", 30.0)
    return shape, layers, final


def gemma_windows(config: ConfigReader, shape: Shape, pattern: int) -> tuple[int | None, ...]:
    window = config.nullable_integer("sliding_window", 4096)
    return read_windows(config, shape.layers, window, lambda layer: (layer + 1) % pattern != 0)


def query_scale(config: ConfigReader) -> float:
    return config.number("query_pre_attn_scalar", 256.0, positive=True) ** -0.5


def gemma_layer(config: ConfigReader, shape: Shape, attention: AttentionSpec) -> LayerSpec:
    norm = gemma_norm(config)
    activation = config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    mlp = MlpSpec(shape.width, activation, gated=True)
    return LayerSpec(
        attention, mlp, attention_norm=norm, attention_out_norm=norm, mlp_norm=norm, mlp_out_norm=norm
    )


GEMMA2 = Family(read_gemma2, GEMMA2_NAMES)
VAULTGEMMA = Family(read_vaultgemma, GEMMA2_NAMES)
