"""Falcon (Almazrouei et al. 2023): Falcon-RW, 7B and the new decoder of 40B, 180B and Falcon 2."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.alibi import interleaved_slopes
from exporter.families.bloom import BLOOM_NAMES
from exporter.families.family import Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, Shape, layer_norm, plain_mlp, read_shape, tied
from exporter.spec import AlibiSpec, AttentionSpec, Block, HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Attention and MLP side by side or not, with rotary positions or ALiBi."""
    new = config.flag("new_decoder_architecture", False)
    shape, norm = _shape(config, new), layer_norm(config, "layer_norm_epsilon")
    bias = config.flag("bias", False)
    parallel = config.flag("parallel_attn", True, null=False)
    norms = config.optional_integer("num_ln_in_parallel_attn") or (2 if new else 1)
    if not (parallel and norms in {1, 2} if new else norms == 1 or not parallel):
        config.problem(
            f"new_decoder_architecture={new} with parallel_attn={parallel} and num_ln_in_parallel_attn="
            f"{norms} is not supported: the reference cannot compute it"
        )
    layer = LayerSpec(
        replace(_attention(config, shape), qkv_bias=bias, out_bias=bias, bias_apart=bias),
        replace(plain_mlp(config, shape.width, "gelu", "activation", bias=bias), bias_apart=bias),
        block=Block.PARALLEL if parallel else Block.SEQUENTIAL,
        attention_norm=norm,
        mlp_norm=norm if not parallel or (new and norms == 2) else None,
    )
    return shape.model("falcon", [layer] * shape.layers, norm, HeadSpec(tied(config, True)))


def _shape(config: ConfigReader, new: bool) -> Shape:
    keys = Keys(width="ffn_hidden_size")
    shape = read_shape(config, keys, vocab=65024, hidden=4544, layers=32, heads=71, max_length=2048)
    kv_heads = config.optional_integer("num_kv_heads") or shape.heads
    if not new and config.flag("multi_query", True, null=False):
        kv_heads = 1
    elif shape.heads % kv_heads or (not new and kv_heads != shape.heads):
        config.problem(f"num_kv_heads={kv_heads} does not fit num_attention_heads={shape.heads}")
    return replace(shape, kv_heads=kv_heads)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    if not config.flag("alibi", False):
        return shape.attention(rotary=turning)
    slopes = interleaved_slopes(shape.heads)
    return shape.attention(alibi=AlibiSpec(slopes, scale=shape.head_dim**-0.5, multiplied="bfloat16"))


def names(spec: ModelSpec) -> Names:
    """The norms are called otherwise where two of them stand side by side."""
    layer = spec.decoder.layers[0]
    two = layer.block is Block.PARALLEL and layer.mlp_norm is not None
    norms = ("ln_attn", "ln_mlp") if two else ("input_layernorm", "post_attention_layernorm")
    return replace(BLOOM_NAMES, embedding_norm="", attention_norm=norms[0], mlp_norm=norms[1])


# multi_query and parallel_attn are not looked at by the new decoder.
FALCON = Family(
    read,
    names,
    harmless=("hidden_dropout", "multi_query"),
    aliases={"n_embed": "hidden_size"},
)
