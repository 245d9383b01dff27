"""Types whose checkpoints join towers to text models of other types, as data (see ``wrapped``)."""

from __future__ import annotations

from exporter.families.cohere import COHERE2
from exporter.families.family import Family
from exporter.families.gpt_oss import GPT_OSS
from exporter.families.lfm2 import LFM2
from exporter.families.llama import LLAMA, NORMED_NAMES
from exporter.families.ministral3 import MINISTRAL3
from exporter.families.mistral import MISTRAL
from exporter.families.mistral4 import MISTRAL4
from exporter.families.names import Names
from exporter.families.qwen import QWEN2, QWEN3
from exporter.families.qwen_moe import QWEN3_MOE
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import ModelSpec, MoeSpec

_IMAGES = ("image_token_id", "vision_config")
_LLAVA = (
    *_IMAGES,
    "multimodal_projector_bias",
    "projector_hidden_act",
    "vision_feature_layer",
    "vision_feature_select_strategy",
)
#: Of what the reference makes a Mistral 3 without a ``text_config``.
_MISTRAL3 = {
    "head_dim": 128,
    "hidden_size": 5120,
    "intermediate_size": 32768,
    "max_position_embeddings": 131072,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 40,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1_000_000_000.0,
    "sliding_window": None,
    "vocab_size": 131072,
}
_COHERE: dict[str, Family] = {"cohere2": COHERE2}
_LLAMAS: dict[str, Family] = {"llama": LLAMA, "mistral": MISTRAL, "qwen2": QWEN2}
_SMALL = {"model_type": "llama", "rms_norm_eps": 1e-5}


def _internvl(spec: ModelSpec) -> Names:
    """Of gpt-oss, whose attention has sinks, of another mixture, or of a dense model."""
    attention = spec.decoder.layers[0].attention
    assert attention is not None
    if attention.sinks:
        return GPT_OSS.names_for(spec)
    mixed = any(isinstance(layer.mlp, MoeSpec) for layer in spec.decoder.layers)
    return QWEN3_MOE.names_for(spec) if mixed else NORMED_NAMES


def _mistral3(spec: ModelSpec) -> Names:
    """Of Mistral 4, whose attention is latent, or of those before it."""
    attention = spec.decoder.layers[0].attention
    assert attention is not None
    return (MISTRAL4 if attention.latent else MISTRAL).names_for(spec)


AYA_VISION = Wrapped(
    "aya_vision",
    _COHERE,
    keys=(
        *_IMAGES,
        "adapter_layer_norm_eps",
        "alignment_intermediate_size",
        "downsample_factor",
        "vision_feature_layer",
        "vision_feature_select_strategy",
    ),
).family()
COHERE2_VISION = Wrapped(
    "cohere2_vision", _COHERE, keys=(*_IMAGES, "alignment_intermediate_size", "downsample_factor")
).family()
IDEFICS3 = Wrapped(
    "idefics3",
    {"llama": LLAMA},
    keys=(*_IMAGES, "_pad_token_id", "scale_factor"),
    default=_SMALL,
    tied=False,
    part="text_model",
    renames=(),
).family()
INTERNVL = Wrapped(
    "internvl",
    {"qwen2": QWEN2, "qwen3": QWEN3, "llama": LLAMA, "qwen3_moe": QWEN3_MOE, "gpt_oss": GPT_OSS},
    names=_internvl,
    keys=(
        *_IMAGES,
        "downsample_ratio",
        "projector_hidden_act",
        "vision_feature_layer",
        "vision_feature_select_strategy",
    ),
).family()
LLAVA = Wrapped("llava", _LLAMAS, keys=_LLAVA, tied=False, ties=Ties.EITHER).family()
LLAVA_NEXT = Wrapped("llava_next", _LLAMAS, keys=(*_LLAVA, "image_grid_pinpoints"), tied=False).family()
LFM2_VL = Wrapped(
    "lfm2_vl",
    {"lfm2": LFM2},
    keys=(
        *_IMAGES,
        "downsample_factor",
        "projector_bias",
        "projector_hidden_act",
        "projector_hidden_size",
        "projector_use_layernorm",
    ),
    renames=(),
    aliases={"tie_embedding": "tie_word_embeddings"},
).family()
_GRID = (*_LLAVA, "image_grid_pinpoints", "video_token_id")
LLAVA_NEXT_VIDEO = Wrapped(
    "llava_next_video",
    _LLAMAS,
    keys=(*_GRID, "spatial_pool_mode", "spatial_pool_out_channels", "spatial_pool_stride"),
    tied=False,
    ties=Ties.EITHER,
).family()
LLAVA_ONEVISION = Wrapped(
    "llava_onevision",
    {"qwen2": QWEN2, "llama": LLAMA},
    keys=(*_GRID, "vision_aspect_ratio"),
    tied=False,
    ties=Ties.EITHER,
).family()
VIPLLAVA = Wrapped(
    "vipllava",
    _LLAMAS,
    keys=(*_IMAGES, "projector_hidden_act", "projector_layernorm_eps", "vision_feature_layer"),
    tied=False,
    aliases={"vision_feature_layers": "vision_feature_layer"},
).family()
MISTRAL3 = Wrapped(
    "mistral3",
    {"mistral": MISTRAL, "ministral3": MINISTRAL3, "mistral4": MISTRAL4},
    names=_mistral3,
    keys=(*_LLAVA, "spatial_merge_size"),
    default=_MISTRAL3,
).family()
SMOLVLM = Wrapped(
    "smolvlm",
    {"llama": LLAMA},
    keys=(*_IMAGES, "_pad_token_id", "scale_factor"),
    default=_SMALL,
    tied=False,
    part="text_model",
    renames=(),
).family()
