"""GPT-BigCode: SantaCoder and StarCoder (Li et al. 2023)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gpt2 import DROPOUTS, GPT2_KEYS, GPT2_NAMES, gpt2_attention, read_gpt2_shape
from exporter.families.names import Fused
from exporter.families.reader import ConfigReader
from exporter.families.shape import layer_norm, plain_mlp, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """GPT-2 with one key and value head for all queries."""
    shape, norm = read_gpt2_shape(config), layer_norm(config, "layer_norm_epsilon")
    kv_heads = 1 if config.flag("multi_query", True) else shape.heads
    attention = replace(gpt2_attention(config, shape), kv_heads=kv_heads)
    mlp = plain_mlp(config, shape.width, "gelu_pytorch_tanh")
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    layers, head = [layer] * shape.layers, HeadSpec(tied(config, True))
    return shape.model("gpt_bigcode", layers, norm, head, shape.table(), hard=True)


GPT_BIGCODE = Family(
    read,
    replace(GPT2_NAMES, fused=Fused.GROUPED, unused=(*GPT2_NAMES.unused, r"^(transformer\.)?bias$")),
    # num_key_value_heads follows from multi_query; softmax is float32 here in any case.
    harmless=(
        *("num_key_value_heads", "attention_softmax_in_fp32", "scale_attention_softmax_in_fp32"),
        *DROPOUTS,
    ),
    aliases=GPT2_KEYS.aliases,
)
