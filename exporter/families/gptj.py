"""GPT-J (EleutherAI 2021) and CodeGen (Nijkamp et al. 2022), which share one architecture."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gpt2 import DROPOUTS, GPT2_KEYS
from exporter.families.names import Fused, Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import layer_norm, plain_mlp, read_shape, tied
from exporter.spec import Block, HeadSpec, LayerSpec, ModelSpec, RopeLayout, RotarySpec


def read(config: ConfigReader, model_type: str = "gptj") -> ModelSpec:
    """Attention and MLP side by side behind one norm; part of each head turns, neighbours in pairs."""
    shape = read_shape(config, GPT2_KEYS, vocab=50400, hidden=4096, layers=28, heads=16, max_length=2048)
    if "rotary_dim" in config and not config.has("rotary_dim"):
        config.problem("rotary_dim=None must be an integer: version 5 does not turn whole heads as 4 did")
    turning = config.integer("rotary_dim", 64)
    if turning % 2 or turning > shape.head_dim:
        config.problem(f"rotary_dim={turning} must be even and at most {shape.head_dim}, the size of a head")
    rotary = RotarySpec(turning, 10000.0, layout=RopeLayout.INTERLEAVED, max_length=shape.max_length)
    norm, mlp = layer_norm(config, "layer_norm_epsilon"), plain_mlp(config, shape.width, "gelu_new")
    layer = LayerSpec(shape.attention(rotary=rotary), mlp, block=Block.PARALLEL, attention_norm=norm)
    head = HeadSpec(tied(config), bias=True)
    # The context is hard: the reference tabulates sines up to there.
    return shape.model(model_type, [layer] * shape.layers, norm, head, hard=True)


def read_codegen(config: ConfigReader) -> ModelSpec:
    """As GPT-J; its projections are stored in four blocks, one for each device it was trained on."""
    heads = config.integer("n_head", 16)
    if heads % 4:
        config.problem(f"n_head={heads} must be divisible by 4, the blocks of the stored projections")
    return read(config, "codegen")


GPTJ_NAMES = Names(
    prefix="transformer.",
    tokens="wte",
    layer="h.{i}.",
    attention_norm="ln_1",
    qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
    out="attn.out_proj",
    up="mlp.fc_in",
    down="mlp.fc_out",
    final_norm="ln_f",
    unused=(r"\.attn\.bias$", r"\.attn\.masked_bias$", r"\.attn\.causal_mask$"),
)
CODEGEN_NAMES = replace(GPTJ_NAMES, qkv=("attn.qkv_proj",), fused=Fused.CODEGEN)
GPTJ = Family(read, GPTJ_NAMES, DROPOUTS, GPT2_KEYS.aliases)
CODEGEN = Family(read_codegen, CODEGEN_NAMES, DROPOUTS, GPT2_KEYS.aliases)
