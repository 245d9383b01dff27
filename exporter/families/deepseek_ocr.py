"""DeepSeek-OCR 2 (DeepSeek-AI 2026): its text model, DeepSeek-V2's mixtures behind plain attention."""

from __future__ import annotations

from exporter.families.deepseek import v2_mixture
from exporter.families.deepseek_router import deepseek_experts
from exporter.families.experts import ROUTER_OUTPUT, read_layer_types, some_mixed
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, gated_mlp, read_shape, rms_norm, tied
from exporter.families.wrapped import Wrapped
from exporter.spec import HeadSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama's attention; ``mlp_layer_types`` says which layers mix."""
    shape = read_shape(
        config,
        Keys(kv_heads="num_key_value_heads"),
        vocab=102400,
        hidden=4096,
        width=11008,
        layers=32,
        heads=32,
        max_length=2048,
    )
    if not config.has("mlp_layer_types"):
        config.problem("mlp_layer_types must be there: the reference has no default")
    mixed = read_layer_types(config, [True] * shape.layers)
    norm, bias, mlp_bias = (
        rms_norm(config),
        config.flag("attention_bias", False),
        config.flag("mlp_bias", False),
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length), qkv_bias=bias, out_bias=bias
    )
    plain, mixture = gated_mlp(config, shape.width, bias=mlp_bias), v2_mixture(config, mlp_bias)
    layers = some_mixed([attention] * shape.layers, mixed, mixture, plain, norm)
    return shape.model("deepseek_ocr2", layers, norm, HeadSpec(tied(config)))


# The head_dim is worked out anew.
_TEXT = Family(
    read,
    deepseek_experts(LLAMA_NAMES, correction=""),
    harmless=(*ROUTER_OUTPUT, "head_dim", "n_group", "topk_group"),
    aliases={"num_experts": "n_routed_experts"},
)
DEEPSEEK_OCR2 = Wrapped(
    "deepseek_ocr2",
    {"deepseek_ocr2_text": _TEXT},
    own=True,
    tied=False,
    renames=tuple(
        (rf"(^|(?<!language_)model\.){part}\.", rf"\1language_model.{part}.")
        for part in ("embed_tokens", "layers", "norm")
    ),
).family()
