"""MPT (MosaicML 2023)."""

from __future__ import annotations

from exporter.families.alibi import halved_slopes
from exporter.families.family import Family, head_dim
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.spec import (
    Activation,
    AlibiSpec,
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    StackSpec,
)

# What the reference's class does not look at: a checkpoint that needs it is not computed by it either.
IGNORED = "the reference computes the default whatever it says"


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer without biases, with ALiBi."""
    hidden, heads = config.integer("d_model", 2048), config.integer("n_heads", 16)
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5))
    config.expect("expansion_ratio", 4, why=IGNORED)
    config.expect("no_bias", True, why=IGNORED)
    config.expect("logit_scale", None, why=IGNORED)
    mlp = MlpSpec(4 * hidden, Activation.GELU)
    layer = LayerSpec(_attention(config, hidden, heads), mlp, attention_norm=norm, mlp_norm=norm)
    return ModelSpec(
        model_type="mpt",
        vocab_size=config.integer("vocab_size", 50368),
        hidden_size=hidden,
        decoder=StackSpec(EmbeddingSpec(hidden), (layer,) * config.integer("n_layers", 24), norm),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True)),
        context_length=config.integer("max_seq_len", 2048),
        context_is_hard=True,  # the reference builds its biases for this length
    )


def _attention(config: ConfigReader, hidden: int, heads: int) -> AttentionSpec:
    options = config.section("attn_config")
    options.expect("attn_type", "multihead_attention", why=IGNORED)
    options.expect("alibi", True, why=IGNORED)
    options.expect("alibi_bias_max", 8, why=IGNORED)
    options.expect("qk_ln", False, why=IGNORED)
    options.expect("prefix_lm", False, why=IGNORED)
    options.expect("attn_uses_sequence_id", False, why=IGNORED)
    options.harmless("attn_pdrop", "attn_impl", "is_encoder_decoder")
    size = head_dim(config, hidden, heads, "d_model", "n_heads")
    scale = options.optional_number("softmax_scale")
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=size,
        scale=size**-0.5 if scale is None else scale,
        alibi=AlibiSpec(halved_slopes(heads)),
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
