"""BioGPT (Luo et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, plain_mlp, read_shape
from exporter.families.xglm import XGLM_NAMES, xglm_model
from exporter.spec import ModelSpec, PositionKind


def read(config: ConfigReader) -> ModelSpec:
    """XGLM with learned positions; the reference does not read ``layer_norm_eps``."""
    shape = read_shape(
        config, Keys(), vocab=42384, hidden=1024, width=4096, layers=24, heads=16, max_length=1024
    )
    mlp = plain_mlp(config, shape.width, "gelu", "hidden_act")
    return xglm_model(config, "biogpt", shape, mlp, PositionKind.LEARNED)


BIOGPT = Family(
    read,
    replace(XGLM_NAMES, prefix="biogpt.", head="output_projection", unused=()),
    harmless=(*("hidden_dropout_prob", "attention_probs_dropout_prob", "layerdrop", "activation_dropout"),),
)
