"""OLMo Hybrid (AI2 2026): OLMo 3's attention in every fourth layer, gated delta nets in the others."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.names import StateNames
from exporter.families.olmo import OLMO2_NAMES, olmo_attention
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import (
    FULL,
    LINEAR,
    LLAMA_KEYS,
    Shape,
    gated_mlp,
    layer_kinds,
    read_shape,
    rms_norm,
    tied,
)
from exporter.spec import (
    AttentionSpec,
    GatedDeltaSpec,
    HeadSpec,
    LayerSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    QkNormScope,
)


def read(config: ConfigReader) -> ModelSpec:
    """Norms behind the branches of attending layers, before those of the others."""
    shape = read_shape(
        config,
        replace(LLAMA_KEYS, head_dim=""),
        vocab=100352,
        hidden=3840,
        width=11008,
        layers=32,
        heads=30,
        max_length=65536,
    )
    norm, mlp = replace(rms_norm(config), round_first=False), gated_mlp(config, shape.width)
    attention = replace(_attention(config, shape), qk_norm=norm, qk_norm_scope=QkNormScope.ALL)
    own = {
        FULL: LayerSpec(attention=attention, mlp=mlp, attention_out_norm=norm, mlp_out_norm=norm),
        LINEAR: LayerSpec(state=_delta(config, shape), mlp=mlp, attention_norm=norm, mlp_norm=norm),
    }
    kinds = layer_kinds(config, shape.layers) or _every_fourth(shape.layers)
    return shape.model("olmo_hybrid", [own[kind] for kind in kinds], norm, HeadSpec(tied(config)))


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    """A rope_theta that is there and null means that nothing turns."""
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    attention = olmo_attention(config, shape, turning)
    still = config.mapping("rope_parameters").get("rope_theta", 0.0) is None
    return replace(attention, rotary=None) if still else attention


def _every_fourth(layers: int) -> list[str]:
    """The last layer attends where there are fewer than four."""
    kinds = [FULL if layer % 4 == 3 else LINEAR for layer in range(layers)]
    return kinds if FULL in kinds else [*kinds[:-1], FULL]


def _delta(config: ConfigReader, shape: Shape) -> GatedDeltaSpec:
    key_heads = config.optional_integer("linear_num_key_heads") or shape.heads
    value_heads = config.optional_integer("linear_num_value_heads") or shape.heads
    if value_heads % key_heads:
        config.problem(f"linear_num_value_heads={value_heads} is not a multiple of {key_heads} key heads")
    key_dim = config.optional_integer("linear_key_head_dim") or max(1, int(0.75 * shape.hidden / key_heads))
    return GatedDeltaSpec(
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=key_dim,
        value_dim=config.optional_integer("linear_value_head_dim") or 2 * key_dim,
        kernel=config.integer("linear_conv_kernel_dim", 4),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        norm=NormSpec(NormKind.RMS, 1e-5, round_first=True),
        wide_decay=True,
        write_scale=2.0 if config.flag("linear_allow_neg_eigval", True) else 1.0,
    )


NAMES = replace(
    OLMO2_NAMES,
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    renames=(
        ("attention_layer_norm", "input_layernorm"),
        ("feedforward_layer_norm", "post_attention_layernorm"),
    ),
    state=StateNames(
        inputs=tuple(f"linear_attn.{name}_proj" for name in "qkvg"),
        rates=("linear_attn.b_proj", "linear_attn.a_proj"),
        conv=tuple(f"linear_attn.{name}_conv1d" for name in "qkv"),
        decay="linear_attn.A_log",
        dt_bias="linear_attn.dt_bias",
        norm="linear_attn.o_norm",
        out="linear_attn.o_proj",
    ),
)
# Of training.
HARMLESS = ("linear_a_log_max", "linear_a_log_min", "linear_dt_init_floor", "linear_dt_max", "linear_dt_min")
OLMO_HYBRID = Family(read, NAMES, harmless=HARMLESS)
