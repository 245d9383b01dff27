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

# What the reference's class does not look at: a checkpoint that needs it is not computed by it either.
IGNORED = "the reference computes the default whatever it says"


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer without biases, with ALiBi."""
    shape = read_shape(config, KEYS, vocab=50368, hidden=2048, layers=24, heads=16, max_length=2048)
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5))
    config.expect("expansion_ratio", 4, why=IGNORED)
    config.expect("no_bias", True, why=IGNORED)
    config.expect("logit_scale", None, why=IGNORED)
    mlp = MlpSpec(shape.width, Activation.GELU)
    layer = LayerSpec(_attention(config, shape), mlp, attention_norm=norm, mlp_norm=norm)
    # The context is hard: the reference builds its biases for this length.
    return shape.model("mpt", [layer] * shape.layers, norm, HeadSpec(tied(config, True)), hard=True)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    options = config.section("attn_config")
    options.expect("attn_type", "multihead_attention", why=IGNORED)
    options.expect("alibi", True, why=IGNORED)
    options.expect("alibi_bias_max", 8, why=IGNORED)
    options.expect("qk_ln", False, why=IGNORED)
    options.expect("prefix_lm", False, why=IGNORED)
    options.expect("attn_uses_sequence_id", False, why=IGNORED)
    options.harmless("attn_pdrop", "attn_impl", "is_encoder_decoder")
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
    harmless=(
        *("resid_pdrop", "emb_pdrop", "embedding_fraction", "init_config", "init_device"),
        *("learned_pos_emb", "norm_type", "tokenizer_name", "verbose"),
    ),
    aliases={"num_attention_heads": "n_heads", "hidden_size": "d_model", "num_hidden_layers": "n_layers"},
)
