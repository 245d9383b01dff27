"""Mamba (Gu and Dao 2023) and Falcon Mamba (TII 2024)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.mamba2 import HARMLESS as MAMBA2_HARMLESS
from exporter.families.mamba2 import NAMES as MAMBA2_NAMES
from exporter.families.mamba2 import state_model
from exporter.families.names import StateNames
from exporter.families.reader import ConfigReader
from exporter.spec import LayerSpec, MambaSpec, ModelSpec, NormKind, NormSpec


def read(config: ConfigReader, model_type: str) -> ModelSpec:
    """Layers of a state alone; Falcon's norms of time steps, B and C have no weights."""
    hidden = config.integer("hidden_size", 768)
    state = MambaSpec(
        channels=config.integer("expand", 2) * hidden,
        states=config.integer("state_size", 16),
        rank=time_rank(config, "time_step_rank", hidden),
        kernel=config.integer("conv_kernel", 4),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        conv_bias=config.flag("use_conv_bias", True),
        bias=config.flag("use_bias", False),
    )
    if model_type == "falcon_mamba":
        epsilon = config.number("mixer_rms_eps", 1e-6)
        state = replace(state, norm=NormSpec(NormKind.RMS, epsilon, scale=False))
    return state_model(config, model_type, hidden, LayerSpec(state=state), layers=32, vocab=50280, tie=True)


def time_rank(config: ConfigReader, key: str, hidden: int) -> int:
    """Of the projection to time steps; "auto" is a sixteenth of the hidden size."""
    automatic = config.raw(key, "auto") == "auto"
    return -(-hidden // 16) if automatic else config.integer(key)


def mamba_names(module: str, *norms: str) -> StateNames:
    """The parts of a Mamba mixer."""
    return StateNames(
        inputs=(f"{module}.in_proj",),
        conv=(f"{module}.conv1d",),
        decay=f"{module}.A_log",
        skip=f"{module}.D",
        select=f"{module}.x_proj",
        step=f"{module}.dt_proj",
        norms=tuple(f"{module}.{name}" for name in norms),
        out=f"{module}.out_proj",
    )


#: Of training, and which of the reference's programs runs.
HARMLESS = (
    *MAMBA2_HARMLESS,
    "intermediate_size",
    "time_step_init_scheme",
    "time_step_scale",
    "use_associative_scan",
    "use_mambapy",
)
NAMES = replace(MAMBA2_NAMES, state=mamba_names("mixer"))
FALCON_NAMES = replace(NAMES, renames=(), state=mamba_names("mixer", "", "", ""))

MAMBA = Family(partial(read, model_type="mamba"), NAMES, harmless=HARMLESS)
FALCON_MAMBA = Family(
    partial(read, model_type="falcon_mamba"), FALCON_NAMES, harmless=(*HARMLESS, "use_falcon_mambapy")
)
