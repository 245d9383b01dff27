"""GPT-NeoX (Black et al. 2022), Pythia and kin."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.names import Fused, Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, layer_norm, plain_mlp, read_shape, tied
from exporter.spec import Block, HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Both branches read the hidden state through norms of their own, unless use_parallel_residual is off."""
    shape = read_shape(
        config, Keys(), vocab=50432, hidden=6144, width=24576, layers=44, heads=64, max_length=2048
    )
    derived = "the reference's attention derives it"
    config.expect("head_dim", None, why=derived)
    config.expect("num_key_value_heads", None, shape.heads, why=derived)
    norm, bias = layer_norm(config), config.flag("attention_bias", True)
    attention = shape.attention(
        rotary=read_rotary(
            config,
            shape.head_dim,
            shape.max_length,
            theta_key="rotary_emb_base",
            partial=0.25,
            partial_key="rotary_pct",
        ),
        qkv_bias=bias,
        out_bias=bias,
    )
    mlp = plain_mlp(config, shape.width, "gelu", "hidden_act")
    block = Block.PARALLEL if config.flag("use_parallel_residual", True) else Block.SEQUENTIAL
    layer = LayerSpec(attention, mlp, block, attention_norm=norm, mlp_norm=norm)
    return shape.model("gpt_neox", [layer] * shape.layers, norm, HeadSpec(tied(config)))


GPT_NEOX_NAMES = Names(
    prefix="gpt_neox.",
    tokens="embed_in",
    layer="layers.{i}.",
    attention_norm="input_layernorm",
    qkv=("attention.query_key_value",),
    fused=Fused.GROUPED,
    out="attention.dense",
    mlp_norm="post_attention_layernorm",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    final_norm="final_layer_norm",
    renames=((r"^embed_out\.", "lm_head."),),
    unused=(r"\.attention\.bias$", r"\.attention\.masked_bias$"),
)
GPT_NEOX = Family(
    read,
    GPT_NEOX_NAMES,
    # Its own rotary keys are rotary_emb_base and rotary_pct; the reference passes over the usual ones.
    harmless=("hidden_dropout", "rope_theta", "partial_rotary_factor"),
)
