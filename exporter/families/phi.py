"""Phi 1 to 2 (Gunasekar et al. 2023)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import layer_norm, plain_mlp, read_shape, tied
from exporter.spec import Block, HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Parallel branches behind one norm, partial rotary positions."""
    shape = read_shape(config, vocab=51200, hidden=2048, width=8192, layers=24, heads=32, max_length=2048)
    norm = layer_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, partial=0.5),
        qk_norm=norm if config.flag("qk_layernorm", False) else None,
        qkv_bias=True,
        out_bias=True,
    )
    mlp = plain_mlp(config, shape.width, "gelu_new", "hidden_act")
    layer = LayerSpec(attention, mlp, Block.PARALLEL, attention_norm=norm)
    return shape.model("phi", [layer] * shape.layers, norm, HeadSpec(tied(config), bias=True))


PHI = Family(
    read,
    Names(
        prefix="model.",
        tokens="embed_tokens",
        layer="layers.{i}.",
        attention_norm="input_layernorm",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        q_norm="self_attn.q_layernorm",
        k_norm="self_attn.k_layernorm",
        out="self_attn.dense",
        up="mlp.fc1",
        down="mlp.fc2",
        final_norm="final_layernorm",
        unused=(r"\.rotary_emb\.inv_freq$",),
    ),
    harmless=("embd_pdrop", "resid_pdrop"),
)
