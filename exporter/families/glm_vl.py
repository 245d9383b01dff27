"""GLM-4.1V to GLM-4.6V, and GLM-OCR (Zhipu AI 2025, 2026): their text models.

Positions of text are the same on all three axes, so that they turn as plain rotary positions do.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.families import glm
from exporter.families.deepseek_router import deepseek_experts, read_deepseek_mixture
from exporter.families.experts import ROUTER_TRAINING
from exporter.families.family import Family
from exporter.families.glm4_moe import ALIASES, dense_head_dim, first_dense
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeLayout


def read_dense(config: ConfigReader) -> ModelSpec:
    """GLM-4 0414 with query, key and value biases, and heads that fill the hidden size."""
    shape = read_shape(
        config,
        Keys(kv_heads="num_key_value_heads"),
        vocab=151552,
        hidden=4096,
        width=13696,
        layers=40,
        heads=32,
        kv_heads=2,
        max_length=32768,
    )
    config.expect("head_dim", shape.head_dim, why="the reference turns heads of this and makes others")
    return _model(config, "glm4v", shape, bias=True)


def read_ocr(config: ConfigReader) -> ModelSpec:
    """The same without biases."""
    shape = read_shape(
        config,
        vocab=59392,
        hidden=1024,
        width=4096,
        layers=16,
        heads=16,
        kv_heads=8,
        max_length=131072,
    )
    return _model(config, "glm_ocr", shape, bias=False)


def _model(config: ConfigReader, model_type: str, shape: Shape, *, bias: bool) -> ModelSpec:
    norm = rms_norm(config, 1e-5)
    rotary = read_rotary(config, shape.head_dim, shape.max_length, partial=1.0, layout=RopeLayout.INTERLEAVED)
    layer = LayerSpec(
        shape.attention(rotary=rotary, qkv_bias=bias),
        gated_mlp(config, shape.width),
        attention_norm=norm,
        mlp_norm=norm,
        attention_out_norm=norm,
        mlp_out_norm=norm,
    )
    return shape.model(model_type, [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_moe(config: ConfigReader) -> ModelSpec:
    """GLM-4.5 without query and key norms."""
    shape = read_shape(
        config,
        vocab=151424,
        hidden=4096,
        width=10944,
        layers=46,
        heads=96,
        kv_heads=8,
        head_dim=dense_head_dim(config),
        max_length=65536,
    )
    norm = rms_norm(config, 1e-5)
    rotary = read_rotary(config, shape.head_dim, shape.max_length, partial=0.5)
    attention = shape.attention(rotary=rotary, qkv_bias=config.flag("attention_bias", True))
    mixture = read_deepseek_mixture(config, width=1408, experts=128, top_k=8)
    return first_dense(config, "glm4v_moe", shape, attention, mixture, norm)


_DENSE = Family(read_dense, glm.NAMES)
_MOE = Family(read_moe, deepseek_experts(LLAMA_NAMES), harmless=ROUTER_TRAINING, aliases=ALIASES)
_KEYS = ("image_token_id", "video_token_id", "vision_config")


def _either(spec: ModelSpec) -> Names:
    """Of a text model of either kind."""
    return _MOE.names_for(spec) if spec.decoder.layers[0].attention_out_norm is None else glm.NAMES


_GLM4V = Wrapped(
    "glm4v", {"glm4v_text": _DENSE}, own=True, keys=_KEYS, tied=False, ties=Ties.EITHER, renames=()
)
GLM4V = _GLM4V.family()
GLM4V_MOE = replace(_GLM4V, model_type="glm4v_moe", texts={"glm4v_moe_text": _MOE}).family()
_GLM46V = Wrapped(
    "glm46v",
    {"glm4v_text": _DENSE, "glm4v_moe_text": _MOE},
    homes={"glm4v_text": "glm4v", "glm4v_moe_text": "glm4v_moe"},
    names=_either,
    keys=_KEYS,
    tied=False,
    renames=(),
)
GLM46V = _GLM46V.family()
GLMGA = replace(_GLM46V, model_type="glmga").family()
GLM_OCR = replace(_GLM4V, model_type="glm_ocr", texts={"glm_ocr_text": Family(read_ocr, glm.NAMES)}).family()
