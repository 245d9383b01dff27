"""MPT (MosaicML 2023)."""

from __future__ import annotations

from exporter.families.alibi import halved_slopes
from exporter.families.family import Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, Shape, read_shape, tied
from exporter.spec import (
    Activation,
    AlibiSpec,
    AttentionSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
)

KEYS = Keys("d_model", "n_heads", "n_layers", "", "max_seq_len")


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer without biases, with ALiBi."""
    shape = read_shape(config, KEYS, vocab=50368, hidden=2048, layers=24, heads=16, max_length=2048)
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5))
    mlp = MlpSpec(shape.width, Activation.GELU)
    layer = LayerSpec(_attention(config, shape), mlp, attention_norm=norm, mlp_norm=norm)
    # The context is hard: the reference builds its biases for this length.
    return shape.model("mpt", [layer] * shape.layers, norm, HeadSpec(tied(config, True)), hard=True)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    options = config.section("attn_config")
    options.harmless("attn_pdrop", "is_encoder_decoder")
    return shape.attention(
        scale=options.optional_number("softmax_scale", shape.head_dim**-0.5),
        alibi=AlibiSpec(halved_slopes(shape.heads)),
        clip=options.optional_number("clip_qkv") or None,
    )


NAMES = Names(
    prefix="transformer.",
    tokens="wte",
    layer="blocks.{i}.",
    attention_norm="norm_1",
    qkv=("attn.Wqkv",),
    out="attn.out_proj",
    mlp_norm="norm_2",
    up="ffn.up_proj",
    down="ffn.down_proj",
    final_norm="norm_f",
)

MPT = Family(
    read,
    NAMES,
    aliases={"num_attention_heads": "n_heads", "hidden_size": "d_model", "num_hidden_layers": "n_layers"},
)
