"""GPT-J (EleutherAI 2021) and CodeGen (Nijkamp et al. 2022), which share one architecture."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.names import Fused, Names
from exporter.families.reader import ConfigReader
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
    RopeLayout,
    RotarySpec,
    StackSpec,
)


def read(config: ConfigReader, model_type: str = "gptj") -> ModelSpec:
    """Attention and MLP side by side behind one norm; part of each head turns, neighbours in pairs."""
    hidden, heads = config.integer("n_embd", 4096), config.integer("n_head", 16)
    size = head_dim(config, hidden, heads, "n_embd", "n_head")
    turning, context = config.integer("rotary_dim", 64), config.integer("n_positions", 2048)
    if turning % 2 or turning > size:
        config.problem(f"rotary_dim={turning} must be even and at most {size}, the size of a head")
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5), bias=True)
    attention = AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=size,
        scale=size**-0.5,
        rotary=RotarySpec(turning, 10000.0, layout=RopeLayout.INTERLEAVED, max_length=context),
    )
    width = config.optional_integer("n_inner") or 4 * hidden
    activation = config.choice("activation_function", ACTIVATIONS, "gelu_new")
    mlp = MlpSpec(width, activation, up_bias=True, down_bias=True)
    layer = LayerSpec(attention, mlp, block=Block.PARALLEL, attention_norm=norm)
    return ModelSpec(
        model_type=model_type,
        vocab_size=config.integer("vocab_size", 50400),
        hidden_size=hidden,
        decoder=StackSpec(EmbeddingSpec(hidden), (layer,) * config.integer("n_layer", 28), norm),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", False), bias=True),
        context_length=context,
        context_is_hard=True,  # the reference tabulates sines up to here
    )


def read_codegen(config: ConfigReader) -> ModelSpec:
    """As GPT-J; its projections are stored in four blocks, one for each device it was trained on."""
    heads = config.integer("n_head", 16)
    if heads % 4:
        config.problem(f"n_head={heads} must be divisible by 4, the blocks of the stored projections")
    return read(config, "codegen")


HARMLESS = (
    *("n_ctx", "rotary", "scale_attn_weights", "summary_type", "summary_use_proj", "summary_activation"),
    *("summary_proj_to_labels", "summary_first_dropout"),
)
ALIASES = {
    "max_position_embeddings": "n_positions",
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
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

GPTJ = Family(read, GPTJ_NAMES, HARMLESS, ALIASES)
CODEGEN = Family(read_codegen, CODEGEN_NAMES, HARMLESS, ALIASES)
