"""Nemotron-H (NVIDIA 2025): layers of one branch each: a Mamba 2 state, attention, a block, a mixture."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.families.deepseek_router import check_groups, read_deepseek_router
from exporter.families.experts import read_mixture
from exporter.families.family import Family
from exporter.families.mamba2 import mamba2_names, own_state
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import FULL, KINDS, LINEAR, Keys, plain_mlp, read_shape
from exporter.spec import HeadSpec, LayerSpec, Mamba2Spec, MlpSpec, ModelSpec, MoeSpec, NormKind, NormSpec

MLP, MOE = "mlp", "moe"
_KINDS = {**KINDS, MLP: MLP, MOE: MOE}
# Letters of version 4 for the kinds of layers, which the reference still reads.
_LETTERS = {"M": LINEAR, "*": FULL, "-": MLP, "E": MOE}
KEYS = Keys(kv_heads="num_key_value_heads", head_dim="head_dim", layers="")


def read(config: ConfigReader) -> ModelSpec:
    """No positions; a norm before each branch."""
    kinds = _layer_kinds(config)
    shape = read_shape(
        config,
        KEYS,
        vocab=131072,
        hidden=4096,
        width=21504,
        layers=1,
        heads=32,
        kv_heads=8,
        head_dim=128,
        max_length=4096,
    )
    norm = NormSpec(NormKind.RMS, config.number("layer_norm_epsilon", 1e-5))
    layers = {
        FULL: LayerSpec(attention=shape.attention(), attention_norm=norm),
        LINEAR: LayerSpec(state=_state(config), attention_norm=norm),
        MLP: LayerSpec(mlp=_block(config, shape.width), mlp_norm=norm),
    }
    if MOE in kinds:
        layers[MOE] = LayerSpec(mlp=_mixture(config), mlp_norm=norm)
    else:
        config.harmless(*MIXTURES)
    return shape.model("nemotron_h", [layers[kind] for kind in kinds], norm, HeadSpec(tied=False))


# Keys of mixtures, which a model may lack.
MIXTURES = (
    "moe_intermediate_size",
    "moe_latent_size",
    "moe_shared_expert_intermediate_size",
    "n_group",
    "n_routed_experts",
    "norm_topk_prob",
    "num_experts_per_tok",
    "routed_scaling_factor",
    "topk_group",
)


def _block(config: ConfigReader, width: int) -> MlpSpec:
    bias = config.flag("mlp_bias", False)
    return plain_mlp(config, width, "relu2", "mlp_hidden_act", bias=bias)


def _mixture(config: ConfigReader) -> MoeSpec:
    """Experts without biases, beside a block that all tokens share."""
    expert = replace(
        _block(config, config.integer("moe_intermediate_size", 7688)), up_bias=False, down_bias=False
    )
    shared = _block(config, config.integer("moe_shared_expert_intermediate_size", 7688))
    experts, router = config.integer("n_routed_experts", 8), read_deepseek_router(config)
    config.expect("moe_latent_size", None, why="experts that read a latent are not built")
    mixture = read_mixture(config, expert, experts=experts, top_k=2, router=router)
    check_groups(config, mixture)
    return replace(mixture, shared=shared)


def _layer_kinds(config: ConfigReader) -> list[str]:
    """``layers_block_type``, or ``hybrid_override_pattern`` where there is none."""
    given = config.raw("layers_block_type")
    count = len(given) if isinstance(given, list) else 1
    types = config.choices("layers_block_type", tuple(_KINDS), count)
    pattern = config.raw("hybrid_override_pattern")
    if types is not None:
        return [_KINDS[kind] for kind in types]
    if pattern is None:
        return [LINEAR, MOE, FULL, MLP]
    if not isinstance(pattern, str) or not pattern or set(pattern) - _LETTERS.keys():
        config.wrong("hybrid_override_pattern", pattern, f"must be a text of {' '.join(_LETTERS)}")
        return []
    return [_LETTERS[letter] for letter in pattern]


def _state(config: ConfigReader) -> Mamba2Spec:
    heads, head_dim = config.integer("mamba_num_heads", 128), config.integer("mamba_head_dim", 64)
    limits = (config.number("time_step_min", 0.001), math.inf)
    return own_state(config, heads, head_dim, "ssm_state_size", "mamba_hidden_act", limits)


NAMES = Names(
    prefix="model.",
    tokens="embeddings",
    layer="layers.{i}.",
    attention_norm="norm",
    mlp_norm="norm",
    qkv=("mixer.q_proj", "mixer.k_proj", "mixer.v_proj"),
    out="mixer.o_proj",
    up="mixer.up_proj",
    down="mixer.down_proj",
    final_norm="norm_f",
    router="mixer.gate",
    correction="mixer.gate.e_score_correction_bias",
    experts=("", "mixer.experts.{e}.up_proj", "mixer.experts.{e}.down_proj"),
    shared=("", "mixer.shared_experts.up_proj", "mixer.shared_experts.down_proj"),
    renames=((r"backbone\.", "model."),),
    state=mamba2_names("mixer"),
)
# num_hidden_layers is worked out anew; the rest is of training and of drafting heads, or changes no result.
HARMLESS = (
    "output_router_logits",
    "chunk_size",
    "expand",
    "mamba_chunk_size",
    "mamba_dt_init_floor",
    "mamba_dt_limit",
    "mamba_dt_max",
    "mamba_expand",
    "mtp_hybrid_override_pattern",
    "mtp_layers_block_type",
    "num_hidden_layers",
    "num_logits_to_keep",
    "rescale_prenorm_residual",
    "time_step_floor",
    "time_step_limit",
    "time_step_max",
    "use_mamba_kernels",
)
# The reference's class has a head of its own, whatever tie_word_embeddings says.
NEMOTRON_H = Family(
    read,
    NAMES,
    harmless=(*HARMLESS, "tie_word_embeddings"),
    aliases={
        "layer_types": "layers_block_type",
        "mamba_n_groups": "n_groups",
        "mamba_d_conv": "conv_kernel",
        "mamba_dt_min": "time_step_min",
        "mamba_conv_bias": "use_conv_bias",
        "num_local_experts": "n_routed_experts",
    },
)
