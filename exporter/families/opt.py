"""OPT (Zhang et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, plain_mlp, read_shape, tied
from exporter.families.xglm import XGLM_NAMES
from exporter.spec import Block, HeadSpec, LayerSpec, ModelSpec, NormKind, NormSpec


def read(config: ConfigReader) -> ModelSpec:
    """Norms before the branches, or after them (350M); embeddings may be narrower than the hidden state."""
    shape = read_shape(
        config,
        Keys(width="ffn_dim"),
        vocab=50272,
        hidden=768,
        width=3072,
        layers=12,
        heads=12,
        max_length=2048,
    )
    affine = config.flag("layer_norm_elementwise_affine", True)
    norm, bias = NormSpec(NormKind.LAYER, 1e-5, scale=affine, bias=affine), config.flag("enable_bias", True)
    attention = shape.attention(qkv_bias=bias, out_bias=bias)
    mlp = plain_mlp(config, shape.width, "relu", bias=bias)
    before = config.flag("do_layer_norm_before", True)
    block = Block.SEQUENTIAL if before else Block.POST_NORM
    layer = LayerSpec(attention, mlp, block, attention_norm=norm, mlp_norm=norm)
    width = config.optional_integer("word_embed_proj_dim") or shape.hidden
    removed = config.flag("_remove_final_layer_norm", False)
    # The reference's OPTLearnedPositionalEmbedding keeps two rows before position 0.
    embedding = shape.table(size=width, position_offset=2)
    final, head = None if removed or not before else norm, HeadSpec(tied(config, True))
    return shape.model("opt", [layer] * shape.layers, final, head, embedding, hard=True)


OPT = Family(
    read,
    replace(
        XGLM_NAMES,
        prefix="model.decoder.",
        project_in="project_in",
        project_out="project_out",
        final_norm="final_layer_norm",
        unused=(),
    ),
    harmless=("dropout", "layerdrop"),
)
