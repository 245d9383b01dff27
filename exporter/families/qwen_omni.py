"""The thinkers of Qwen2.5-Omni and Qwen3-Omni (Qwen Team 2025), which write the text: their text models.

Positions of text are the same on all three axes, so that they turn as plain rotary positions do.
"""

from __future__ import annotations

from exporter.families.experts import ROUTER_TRAINING
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.qwen_moe import NAMES, qwen_mixture, sparse_layers
from exporter.families.qwen_vl import biased
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import read_shape, rms_norm
from exporter.families.wrapped import Wrapped
from exporter.spec import ModelSpec


def read_dense(config: ConfigReader) -> ModelSpec:
    """Qwen2: query, key and value biases; the last layers may be windowed."""
    shape = read_shape(
        config,
        vocab=152064,
        hidden=3584,
        width=18944,
        layers=28,
        heads=28,
        kv_heads=4,
        max_length=32768,
    )
    rotary = read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0)
    return biased(config, "qwen2_5_omni_thinker", shape, rotary, epsilon=1e-6, first=28)


def read_moe(config: ConfigReader) -> ModelSpec:
    """Qwen3 with mixtures."""
    shape = read_shape(
        config,
        vocab=3584,
        hidden=2048,
        width=18944,
        layers=28,
        heads=28,
        kv_heads=4,
        max_length=32768,
    )
    bias = config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0),
        qk_norm=rms_norm(config),
        qkv_bias=bias,
        out_bias=bias,
    )
    mixture = qwen_mixture(config, width=768, experts=128, top_k=8, normed=True)
    return sparse_layers(config, "qwen3_omni_moe_thinker", shape, [attention] * shape.layers, mixture)


_KEYS = (
    "audio_config",
    "audio_start_token_id",
    "audio_token_id",
    "image_token_id",
    "position_id_per_seconds",
    "video_token_id",
    "vision_config",
    "vision_start_token_id",
)
# A thinker that is saved with the whole has its name in front.
_RENAMES = (
    (r"^thinker\.", ""),
    (r"^audio_tower", "model.audio_tower"),
    (r"^visual", "model.visual"),
    (r"^model(?!\.(language_model|visual|audio_tower))", "model.language_model"),
)
QWEN2_5_OMNI_THINKER = Wrapped(
    "qwen2_5_omni_thinker",
    {"qwen2_5_omni_text": Family(read_dense, LLAMA_NAMES)},
    own=True,
    keys=(
        *_KEYS,
        "audio_token_index",
        "image_token_index",
        "seconds_per_chunk",
        "video_token_index",
    ),
    tied=False,
    renames=_RENAMES,
).family()
QWEN3_OMNI_MOE_THINKER = Wrapped(
    "qwen3_omni_moe_thinker",
    {"qwen3_omni_moe_text": Family(read_moe, NAMES, harmless=ROUTER_TRAINING)},
    own=True,
    keys=(*_KEYS, "user_token_id"),
    tied=False,
    renames=_RENAMES,
).family()
