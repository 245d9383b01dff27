"""OPT (Zhang et al. 2022)."""

from __future__ import annotations

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import tied
from exporter.spec import (
    AttentionSpec,
    Block,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    PositionKind,
    StackSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """Norms before the branches, or after them (350M); embeddings may be narrower than the hidden state."""
    hidden, heads = config.integer("hidden_size", 768), config.integer("num_attention_heads", 12)
    size = head_dim(config, hidden, heads, "hidden_size", "num_attention_heads")
    affine = config.flag("layer_norm_elementwise_affine", True)
    norm = NormSpec(NormKind.LAYER, 1e-5, scale=affine, bias=affine)
    bias = config.flag("enable_bias", True)
    attention = AttentionSpec(heads, heads, size, size**-0.5, qkv_bias=bias, out_bias=bias)
    activation = config.choice("activation_function", ACTIVATIONS, "relu")
    mlp = MlpSpec(config.integer("ffn_dim", 3072), activation, up_bias=bias, down_bias=bias)
    before = config.flag("do_layer_norm_before", True)
    block = Block.SEQUENTIAL if before else Block.POST_NORM
    layer = LayerSpec(attention, mlp, block, attention_norm=norm, mlp_norm=norm)
    context = config.integer("max_position_embeddings", 2048)
    width = config.optional_integer("word_embed_proj_dim") or hidden
    config.expect("scale_embeddings", False, why="the reference does not scale OPT's embeddings")
    removed = config.flag("_remove_final_layer_norm", False)
    return ModelSpec(
        model_type="opt",
        vocab_size=config.integer("vocab_size", 50272),
        hidden_size=hidden,
        decoder=StackSpec(
            # The reference's OPTLearnedPositionalEmbedding keeps two rows before position 0.
            EmbeddingSpec(width, positions=PositionKind.LEARNED, position_count=context, position_offset=2),
            (layer,) * config.integer("num_hidden_layers", 12),
            norm if before and not removed else None,
        ),
        head=HeadSpec(tied(config, True)),
        context_length=context,
        context_is_hard=True,
    )


OPT = Family(
    read,
    Names(
        prefix="model.decoder.",
        tokens="embed_tokens",
        positions="embed_positions",
        project_in="project_in",
        project_out="project_out",
        layer="layers.{i}.",
        attention_norm="self_attn_layer_norm",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.out_proj",
        mlp_norm="final_layer_norm",
        up="fc1",
        down="fc2",
        final_norm="final_layer_norm",
    ),
    harmless=("activation_dropout", "dropout", "init_std", "layerdrop", "learned_embeddings"),
)
