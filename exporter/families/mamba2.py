"""Mamba 2 (Dao and Gu 2024), and what the readers of its hybrids share."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.names import Names, StateNames
from exporter.families.reader import ConfigReader
from exporter.families.shape import tied
from exporter.spec import (
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    Mamba2Spec,
    ModelSpec,
    NormKind,
    NormSpec,
    StackSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """Layers of a state alone."""
    hidden, expand = config.integer("hidden_size", 4096), config.integer("expand", 2)
    heads, head_dim = config.integer("num_heads", 128), config.integer("head_dim", 64)
    if heads * head_dim != expand * hidden:
        config.problem(
            f"num_heads={heads} times head_dim={head_dim} is not expand={expand} times hidden_size"
        )
    state = own_state(config, heads, head_dim, "state_size", "hidden_act", time_limits(config))
    return state_model(config, "mamba2", hidden, LayerSpec(state=state), layers=64, vocab=32768, tie=False)


def state_model(
    config: ConfigReader,
    model_type: str,
    hidden: int,
    layer: LayerSpec,
    *,
    layers: int,
    vocab: int,
    tie: bool,
) -> ModelSpec:
    """A model of equal layers without attention; the numbers are the family's defaults."""
    norm = NormSpec(NormKind.RMS, config.number("layer_norm_epsilon", 1e-5), round_first=True)
    wide = config.flag("residual_in_fp32", True)
    layer = LayerSpec(state=layer.state, attention_norm=norm, wide_residual=wide)
    final = replace(
        norm, round_first=not wide
    )  # layers round the stream before their norms, the end does not
    count = config.integer("num_hidden_layers", layers)
    return ModelSpec(
        model_type=model_type,
        vocab_size=config.integer("vocab_size", vocab),
        hidden_size=hidden,
        decoder=StackSpec(EmbeddingSpec(hidden), (layer,) * count, final),
        head=HeadSpec(tied(config, tie)),
        context_length=None,
    )


def gated_norm(epsilon: float) -> NormSpec:
    """Of each group of what is read, rounded before the scale where a token is read alone."""
    return NormSpec(NormKind.RMS, epsilon, round_first=True)


def groups(config: ConfigReader, key: str, default: int, heads: int) -> int:
    """How many groups of heads share B and C."""
    found = config.integer(key, default)
    if heads % found:
        config.problem(f"{key}={found} does not divide the {heads} heads of the state")
        return 1
    return found


def time_limits(config: ConfigReader) -> tuple[float, float]:
    """``time_step_limit``."""
    value = config.raw("time_step_limit", [0.0, math.inf])
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        numbers = isinstance(low, int | float) and isinstance(high, int | float)
        if numbers and not isinstance(low, bool) and not isinstance(high, bool) and low <= high:
            return float(low), float(high)
    config.wrong("time_step_limit", value, "must be a list of two numbers, the smaller one first")
    return 0.0, math.inf


def own_state(
    config: ConfigReader,
    heads: int,
    head_dim: int,
    states: str,
    activation: str,
    limits: tuple[float, float],
) -> Mamba2Spec:
    """The state by the first names of its sizes; ``states`` and ``activation`` are keys."""
    bias = config.flag("use_bias", False)
    return Mamba2Spec(
        heads=heads,
        head_dim=head_dim,
        groups=groups(config, "n_groups", 8, heads),
        states=config.integer(states, 128),
        kernel=config.integer("conv_kernel", 4),
        activation=config.choice(activation, ACTIVATIONS, "silu"),
        conv_bias=config.flag("use_conv_bias", True),
        in_bias=bias,
        out_bias=bias,
        norm=gated_norm(config.number("layer_norm_epsilon", 1e-5)),
        limits=limits,
    )


def hybrid_state(
    config: ConfigReader, hidden: int, norm: NormSpec | None, width: int | None = None
) -> Mamba2Spec:
    """The state of a hybrid that calls its sizes mamba_*; ``norm``: None without.

    ``width`` counts where it is not mamba_expand * hidden.
    """
    inner = width or config.integer("mamba_expand", 2) * hidden
    heads = config.integer("mamba_n_heads", 128)
    given = config.raw("mamba_d_head", "auto")
    head_dim = max(1, inner // heads) if given == "auto" else config.integer("mamba_d_head", minimum=1)
    if heads * head_dim != inner:
        config.problem(f"mamba_n_heads={heads} times mamba_d_head={given} is not the state's width {inner}")
    bias = config.flag("mamba_proj_bias", False)
    return Mamba2Spec(
        heads=heads,
        head_dim=head_dim,
        groups=groups(config, "mamba_n_groups", 1, heads),
        states=config.integer("mamba_d_state", 256),
        kernel=config.integer("mamba_d_conv", 4),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        conv_bias=config.flag("mamba_conv_bias", True),
        in_bias=bias,
        out_bias=bias,
        norm=norm,
        limits=time_limits(config),
    )


def mamba2_names(module: str) -> StateNames:
    """The parts of a Mamba 2 mixer."""
    return StateNames(
        inputs=(f"{module}.in_proj",),
        conv=(f"{module}.conv1d",),
        decay=f"{module}.A_log",
        dt_bias=f"{module}.dt_bias",
        skip=f"{module}.D",
        norm=f"{module}.norm",
        out=f"{module}.out_proj",
    )


#: Of training.
HARMLESS = (
    "rescale_prenorm_residual",
    "time_step_floor",
    "time_step_max",
    "time_step_min",
    "time_step_rank",
)
NAMES = Names(
    prefix="backbone.",
    tokens="embeddings",
    layer="layers.{i}.",
    attention_norm="norm",
    qkv=(),
    out="",
    up="",
    down="",
    final_norm="norm_f",
    # As saved by the first code of Mamba.
    renames=((r"embedding\.", "embeddings."),),
    state=mamba2_names("mixer"),
)
MAMBA2 = Family(read, NAMES, harmless=(*HARMLESS, "chunk_size"))
