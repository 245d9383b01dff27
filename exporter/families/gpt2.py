"""GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.names import Linear, Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, Shape, layer_norm, plain_mlp, read_shape, tied
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec

GPT2_KEYS = Keys("n_embd", "n_head", "n_layer", "n_inner", "n_positions")
GPT2_NAMES = Names(
    prefix="transformer.",
    tokens="wte",
    positions="wpe",
    layer="h.{i}.",
    attention_norm="ln_1",
    qkv=("attn.c_attn",),
    out="attn.c_proj",
    mlp_norm="ln_2",
    up="mlp.c_fc",
    down="mlp.c_proj",
    final_norm="ln_f",
    unused=(r"\.attn\.bias$", r"\.attn\.masked_bias$"),
)

# Config keys of training.
DROPOUTS = ("attn_pdrop", "embd_pdrop", "resid_pdrop")


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer with learned positions."""
    shape = read_gpt2_shape(config)
    norm, mlp = layer_norm(config, "layer_norm_epsilon"), plain_mlp(config, shape.width, "gelu_new")
    attention = gpt2_attention(config, shape)
    by_layer = config.flag("scale_attn_by_inverse_layer_idx", False)
    # Only the order of roundings in half precision; attention scores are float32 here in any case.
    config.flag("reorder_and_upcast_attn", False)
    scales = [attention.scale / (index + 1 if by_layer else 1) for index in range(shape.layers)]
    layers = [
        LayerSpec(replace(attention, scale=scale), mlp, attention_norm=norm, mlp_norm=norm)
        for scale in scales
    ]
    return shape.model("gpt2", layers, norm, HeadSpec(tied(config, True)), shape.table(), hard=True)


def read_gpt2_shape(config: ConfigReader) -> Shape:
    return read_shape(config, GPT2_KEYS, vocab=50257, hidden=768, layers=12, heads=12, max_length=1024)


def gpt2_attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    scale = shape.head_dim**-0.5 if config.flag("scale_attn_weights", True) else 1.0
    return shape.attention(scale=scale, qkv_bias=True, out_bias=True)


GPT2 = Family(read, replace(GPT2_NAMES, linear=Linear.IN_OUT), DROPOUTS, GPT2_KEYS.aliases)
