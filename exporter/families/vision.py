"""More types whose checkpoints join towers of images to text models of other types (see ``multimodal``)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.apertus import APERTUS1P5_TEXT
from exporter.families.aria import ARIA_TEXT
from exporter.families.deepseek import DEEPSEEK_V3
from exporter.families.exaone4 import EXAONE4
from exporter.families.family import Family
from exporter.families.granite import GRANITE, HYPERCLOVAX
from exporter.families.llama import LLAMA
from exporter.families.mistral import MISTRAL
from exporter.families.nemotron_h import NAMES as NEMOTRON_H_NAMES
from exporter.families.nemotron_h import NEMOTRON_H
from exporter.families.qwen import QWEN2, QWEN3
from exporter.families.qwen3_next import QWEN3_5_TEXT
from exporter.families.wrapped import LLAVA, TOWERS, Ties, Wrapped

_IMAGES = ("image_token_id", "vision_config")
_VIDEOS = (*_IMAGES, "video_token_id")
_FEATURES = (*_IMAGES, "vision_feature_layer", "vision_feature_select_strategy")
_LLAMA = {"llama": LLAMA}

APERTUS1P5 = Wrapped(
    "apertus1p5",
    {"apertus1p5_text": APERTUS1P5_TEXT},
    own=True,
    keys=(*_IMAGES, "audio_config", "audio_token_id", "audio_token_offset", "image_token_offset"),
    tied=False,
    renames=(),
).family()
ARIA = Wrapped(
    "aria",
    {"aria_text": ARIA_TEXT},
    own=True,
    keys=(
        *_IMAGES,
        "max_value_projector_patch_to_query_dict",
        "projector_patch_to_query_dict",
        "vision_feature_layer",
    ),
    tied=False,
).family()
DEEPSEEK_VL = Wrapped("deepseek_vl", _LLAMA, renames=()).family()
DEEPSEEK_VL_HYBRID = Wrapped(
    "deepseek_vl_hybrid", _LLAMA, keys=(*_IMAGES, "high_res_vision_config"), renames=()
).family()
EXAONE4_5 = Wrapped(
    "exaone4_5",
    {"exaone4": EXAONE4},
    also={"exaone4_5_text": "exaone4"},
    keys=_VIDEOS,
    tied=False,
    renames=(),
).family()
FAST_VLM = Wrapped(
    "fast_vlm",
    {"qwen2": QWEN2},
    keys=(*_FEATURES, "multimodal_projector_bias", "projector_hidden_act"),
    default={
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152128,
    },
    tied=False,
    ties=Ties.EITHER,
    renames=(),
).family()
_GOT = Wrapped(
    "got_ocr2",
    {"qwen2": QWEN2},
    default={
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "max_position_embeddings": 32768,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "num_key_value_heads": 16,
        "rope_theta": 1_000_000.0,
        "vocab_size": 151860,
    },
)
GOT_OCR2 = _GOT.family()
PP_CHART2TABLE = replace(
    _GOT, model_type="pp_chart2table", aliases={"image_token_index": "image_token_id"}
).family()
_GRANITE: dict[str, Family] = {"granite": GRANITE}
GRANITE4_VISION = Wrapped(
    "granite4_vision",
    _GRANITE,
    own=True,
    keys=(
        *_FEATURES,
        "deepstack_layer_map",
        "downsample_rate",
        "image_grid_pinpoints",
        "projector_dropout",
        "qformer_config",
        "spatial_target_layers",
        "spatial_vision_layer",
    ),
    tied=False,
    head=True,
    renames=(),
).family()
GRANITE_DOCLING = Wrapped(
    "granite_docling",
    _GRANITE,
    own=True,
    keys=(*_IMAGES, "density_router_hidden_size", "density_router_loss_weight", "density_router_threshold"),
    default={
        "attention_multiplier": 0.015625,
        "embedding_multiplier": 12.0,
        "hidden_size": 1024,
        "intermediate_size": 2048,
        "logits_scaling": 4.0,
        "max_position_embeddings": 32768,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "residual_multiplier": 0.263,
        "rms_norm_eps": 1e-5,
        "vocab_size": 133800,
    },
    completed=True,
    head=True,
    part="text_model",
    renames=(),
).family()
HYPERCLOVAX_VISION_V2 = Wrapped(
    "hyperclovax_vision_v2",
    {"hyperclovax": HYPERCLOVAX},
    keys=_VIDEOS,
    head=True,
    renames=(
        (r"^model\.language_model\.lm_head", "lm_head"),
        (r"^model\.language_model\.model", "model.language_model"),
    ),
).family()
IDEFICS2 = Wrapped(
    "idefics2",
    {"mistral": MISTRAL},
    keys=(*_IMAGES, "perceiver_config"),
    default={"max_position_embeddings": 32768, "rms_norm_eps": 1e-5},
    tied=False,
    part="text_model",
    renames=(),
).family()
JANUS = Wrapped("janus", _LLAMA, keys=(*_IMAGES, "vq_config"), renames=()).family()
#: In the place of an image's tokens the first one is read.
KIMI_K25 = Wrapped(
    "kimi_k25",
    {"deepseek_v3": DEEPSEEK_V3},
    also={"kimi_k2": "deepseek_v3"},
    keys=("projection_hidden_size", "projection_layer_norm_eps", "vision_config"),
    placeholders={"image_token_id": 163605, "video_token_id": 163840},
    plain_token=0,
    # The last one is for the tower, and renames whatever has such a part.
    renames=(*LLAVA, (r"blocks", "layers")),
).family()
LIGHTON_OCR = Wrapped(
    "lighton_ocr",
    {"qwen3": QWEN3},
    keys=(*_IMAGES, "spatial_merge_size"),
    default={
        "head_dim": 128,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_position_embeddings": 40960,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "rope_theta": 1_000_000.0,
        "sliding_window": None,
        "vocab_size": 151936,
    },
    renames=(),
).family()
_MINICPM = Wrapped(
    "minicpmv4_6",
    {"qwen3_5_text": QWEN3_5_TEXT},
    keys=(
        *_VIDEOS,
        "downsample_mode",
        "image_size",
        "insert_layer_id",
        "merge_kernel_size",
        "merger_times",
        "patch_size",
    ),
    tied=False,
    renames=(),
)
MINICPMV4_6 = _MINICPM.family()
_MARKERS = ("image_end_id", "image_start_id", "newline_id", "slice_end_id", "slice_start_id")
MINICPMV4_7 = replace(_MINICPM, model_type="minicpmv4_7", keys=(*_MINICPM.keys, *_MARKERS)).family()
MINICPM_OCR = replace(_MINICPM, model_type="minicpm_ocr", tied=True).family()
#: Its text model is the class that writes text, with a head of its own.
NEMOTRON_H_OMNI = Wrapped(
    "nemotron_h_omni",
    {"nemotron_h": NEMOTRON_H},
    old_text="llm_config",
    names=replace(
        NEMOTRON_H_NAMES,
        base="model",
        prefix="language_model.model.",
        head="language_model.lm_head",
        towers=TOWERS,
    ),
    keys=(
        *_IMAGES,
        "audio_config",
        "audio_token_id",
        "downsample_ratio",
        "projector_hidden_size",
        "video_pruning_rate",
        "video_temporal_patch_size",
        "vision_hidden_size",
    ),
    ties=Ties.NEVER,
    head=True,
    part="",
).family()
OVIS2 = Wrapped(
    "ovis2",
    {"qwen2": QWEN2},
    keys=(*_IMAGES, "visual_indicator_token_ids"),
    sizes={"hidden_size": 1536, "vocab_size": 151643},
    renames=(),
).family()
PERCEPTION_LM = Wrapped(
    "perception_lm",
    _LLAMA,
    keys=(*_VIDEOS, "projector_pooling_ratio", "vision_use_cls_token"),
    ties=Ties.FIRST,
    renames=(),
).family()
QIANFAN_OCR = Wrapped(
    "qianfan_ocr",
    {"qwen3": QWEN3},
    keys=(*_FEATURES, "downsample_ratio", "projector_hidden_act"),
    tied=False,
    renames=(
        # This one is for the tower, and renames whatever has such a part.
        (r"encoder\.layers\.", "layers."),
        (r"^language_model\.model\.", "model.language_model."),
        (r"^language_model\.lm_head\.", "lm_head."),
    ),
).family()
VIDEO_LLAMA_3 = Wrapped(
    "video_llama_3", {"qwen2": QWEN2}, keys=_VIDEOS, tied=False, ties=Ties.EITHER, renames=()
).family()
VIDEO_LLAVA = Wrapped(
    "video_llava",
    _LLAMA,
    keys=(*_FEATURES, "multimodal_projector_bias", "projector_hidden_act", "video_token_id"),
    tied=False,
).family()
