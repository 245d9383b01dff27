"""Third part of the cases: text models of checkpoints that read images, videos or sound too.

Each of them differs from one of the quick tier by data alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.families.case import FamilyCases
from tests.families.cases_kin2 import MULTI_HEAD
from tests.families.cases_multi import MROPE, SIZES, TORCH, TOWER, VISION, of
from tests.families.cases_multimodal2 import (
    FACTORS,
    GLM,
    GLM_MOE,
    HEADS,
    LINEAR,
    LLAMAS,
    QFORMER,
    QWENS,
    SAM,
    SOUND,
    THIRD,
    TIED,
    UNTIED,
    WHISPER,
    whole,
    without,
)
from tests.families.cases_state import DELTA, NEMOTRON

# Words of a config that only towers look at.
TOKENS = {"image_token_id": 1, "video_token_id": 2}
DELTA_TEXT: dict[str, Any] = {**DELTA, "model_type": "qwen3_5_text"}
MINICPM = {"vision_config": VISION, "insert_layer_id": 0, **TOKENS}
DELTAS = (
    ("text of qwen3_5_text", DELTA_TEXT),
    (
        "text of qwen3_5_text (one key head, attention in every second layer)",
        {**without(DELTA_TEXT, "layer_types"), "linear_num_key_heads": 1, "full_attention_interval": 2},
    ),
)
MAMBA: dict[str, Any] = {
    **without(SIZES, "num_hidden_layers"),
    **HEADS,
    "model_type": "nemotron_h",
    **NEMOTRON,
}
EDGE: dict[str, Any] = {**SIZES, **HEADS, "rope_parameters": MROPE}
AXES: dict[str, Any] = {
    **SIZES,
    **HEADS,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [1, 1, 1, 1]},
}
# Two tokens of images and of sound behind those of text.
CODES: dict[str, Any] = {
    "vision_config": {
        "codebook_size": 2,
        "embed_dim": 4,
        "latent_channels": 4,
        "base_channels": 32,
        "channel_multiplier": [1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "resolution": 8,
    },
    "audio_config": {
        "model_type": "wavtokenizer_encoder",
        "num_filters": 2,
        "upsampling_ratios": [2, 2],
        "hidden_size": 8,
        "codebook_dim": 8,
        "codebook_size": 2,
        "num_lstm_layers": 1,
    },
    "image_token_id": 1,
    "audio_token_id": 2,
    "image_token_offset": 90,
    "audio_token_offset": 92,
}
OCR: dict[str, Any] = {
    **SIZES,
    "moe_intermediate_size": 16,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "mlp_layer_types": ["dense", "sparse"],
}
OCR_TOWERS: dict[str, Any] = {
    "sam_config": {**SAM, "num_hidden_layers": 1, "downsample_channels": [8, 8]},
    "encoder_config": {"vocab_size": 2, "hidden_size": 16, **without(VISION, "hidden_size")},
}
PERSIMMON: dict[str, Any] = {**MULTI_HEAD, "model_type": "persimmon"}


def named(family: FamilyCases, config_class: str, model_class: str) -> FamilyCases:
    """A type whose classes are not called as others are."""
    return replace(family, config_class=config_class, model_class=model_class)


IMAGES: tuple[FamilyCases, ...] = (
    whole(
        "apertus1p5",
        "Apertus1p5",
        "Apertus 1.5, text only",
        CODES,
        ("learned activation, rope llama3", SIZES),
        ("attention_bias, tied head", {**SIZES, "attention_bias": True}),
        more=TIED,
    ),
    whole(
        "cosmos3_edge",
        "Cosmos3Edge",
        "Cosmos 3 Edge, text only",
        {"vision_config": {**VISION, "num_patches": 4}, "projector_hidden_size": 8, **TOKENS},
        ("plain blocks of squared relu, three equal positions", EDGE),
        (
            "biases, wide heads, tied head",
            {
                **EDGE,
                "head_dim": 16,
                "attention_bias": True,
                "mlp_bias": True,
                "rope_parameters": {**MROPE, "mrope_section": [4, 2, 2]},
            },
        ),
        old={
            **without(EDGE, "rope_parameters"),
            "rope_theta": 5000.0,
            "rope_scaling": {"type": "default", "mrope_section": [2, 1, 1]},
            "model_type": "cosmos3_edge_text",
        },
        more=TIED,
    ),
    whole(
        "cosmos3_omni",
        "Cosmos3Omni",
        "Cosmos 3 Omni, text only",
        {"vision_config": {**TOWER, "deepstack_visual_indexes": [0]}, **TOKENS},
        ("text of qwen3_vl_text", {"model_type": "qwen3_vl_text", **EDGE}),
        (
            "text of qwen3_vl_text (biases), tied head",
            {"model_type": "qwen3_vl_text", **EDGE, "attention_bias": True},
        ),
        more=TIED,
    ),
    whole(
        "deepseek_ocr2",
        "DeepseekOcr2",
        "DeepSeek-OCR 2, text only",
        {"vision_config": OCR_TOWERS},
        ("experts and shared ones, a dense layer", OCR),
        (
            "groups of experts, all mixed, a factor, biases, tied head",
            {
                **OCR,
                "topk_method": "group_limited_greedy",
                "n_group": 3,
                "topk_group": 2,
                "mlp_layer_types": ["sparse", "sparse"],
                "routed_scaling_factor": 1.7,
                "attention_bias": True,
            },
        ),
        more=TIED,
    ),
    replace(
        named(
            whole(
                "fuyu",
                "Fuyu",
                "Fuyu 8B, text only",
                {"patch_size": 2, "image_size": 4},
                ("text of persimmon", PERSIMMON),
                (
                    "text of persimmon (no qk_layernorm, rope linear), tied head",
                    {
                        **PERSIMMON,
                        "qk_layernorm": False,
                        "rope_parameters": {**LINEAR, "partial_rotary_factor": 0.5},
                    },
                ),
                more=TIED,
            ),
            "FuyuConfig",
            "FuyuForCausalLM",
        ),
        # As it is published: the text's keys stand in the outer config.
        v4={**TORCH, **without(PERSIMMON, "model_type"), "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        v4_removed=("dtype", "text_config"),
    ),
    named(
        whole(
            "glmga",
            "Glmga",
            "GLM-GA, text only",
            {"vision_config": {"model_type": "glm4v_vision", **VISION, **TOWER}},
            ("text of glm4v_text", {"model_type": "glm4v_text", **GLM}),
            ("text of glm4v_moe_text, tied head", {"model_type": "glm4v_moe_text", **GLM_MOE}),
            more=TIED,
        ),
        "GlmgaConfig",
        "Glm46VForConditionalGeneration",
    ),
    whole(
        "hunyuan_vl",
        "HunYuanVL",
        "HunyuanOCR, text only",
        {"vision_config": {**VISION, "max_image_size": 8, "out_hidden_size": 32}},
        ("query and key norms behind the rotation, four equal positions, tied head", AXES),
        (
            "rope dynamic with alpha, biases",
            {
                **AXES,
                "attention_bias": True,
                "tie_word_embeddings": False,
                "rope_parameters": {
                    **AXES["rope_parameters"],
                    "rope_type": "dynamic",
                    "alpha": 100.0,
                    "factor": 1.0,
                },
            },
        ),
        old={
            **without(AXES, "rope_parameters"),
            "rope_theta": 5000.0,
            "rope_scaling": {"type": "default", "xdrope_section": [1, 1, 1, 1]},
            "model_type": "hunyuan_vl_text",
        },
        more=UNTIED,
    ),
    whole(
        "hyperclovax_vision_v2",
        "HyperCLOVAXVisionV2",
        "HyperCLOVA X SEED Think 32B, text only",
        {
            "vision_config": {"model_type": "qwen2_5_vl_vision", **TOWER, "fullatt_block_indexes": [0]},
            **TOKENS,
        },
        ("text of hyperclovax (all multipliers), tied head", of("hyperclovax", **FACTORS)),
        (
            "text of hyperclovax (no use_post_norm, biases)",
            of("hyperclovax", use_post_norm=False, mlp_bias=True),
        ),
        more=UNTIED,
    ),
    whole("minicpm_ocr", "MiniCPMOcr", "MiniCPM-OCR, text only", MINICPM, *DELTAS, more=UNTIED),
    whole("minicpmv4_6", "MiniCPMV4_6", "MiniCPM-V 4.6, text only", MINICPM, *DELTAS, more=TIED),
    whole("minicpmv4_7", "MiniCPMV4_7", "MiniCPM-V 4.7, text only", MINICPM, *DELTAS, more=TIED),
    named(
        whole(
            "nemotron_h_omni",
            "NemotronH_Omni_Reasoning_V3",
            "Nemotron 3 Nano Omni, text only",
            {
                "vision_config": {
                    "model_type": "radio",
                    **VISION,
                    "max_img_size": 8,
                    "num_cls_tokens": 1,
                    "num_registers": 1,
                    "summary_idxs": [0],
                    "video_temporal_patch_size": 2,
                },
                "vision_hidden_size": 8,
                "projector_hidden_size": 8,
                "image_token_id": 1,
            },
            (
                "text of nemotron_h (state, feed-forward block, attention, each a layer)",
                {**MAMBA, "layers_block_type": ["linear_attention", "mlp", "full_attention", "mlp"]},
            ),
            (
                "text of nemotron_h (mixtures)",
                {**MAMBA, "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"]},
            ),
        ),
        "NemotronH_Omni_Reasoning_V3_Config",
        "NemotronH_Omni_Reasoning_V3",
    ),
    named(
        whole(
            "pp_chart2table",
            "PPChart2Table",
            "PP-Chart2Table, text only",
            {"vision_config": {**SAM, "num_hidden_layers": 1}},
            ("text of qwen2", of("qwen2")),
            QWENS[1],
            more=UNTIED,
        ),
        "PPChart2TableConfig",
        "GotOcr2ForConditionalGeneration",
    ),
    whole(
        "qianfan_ocr", "QianfanOCR", "Qianfan-OCR, text only", {"vision_config": VISION}, *THIRD, more=TIED
    ),
)
ENCODER: dict[str, Any] = {
    "input_dim": 8,
    "num_layers": 1,
    "hidden_dim": 16,
    "num_heads": 2,
    "output_dim": 4,
    "context_size": 4,
    "max_pos_emb": 8,
    "conv_kernel_size": 3,
}
FLAMINGO = {"audio_config": {"model_type": "audioflamingo3_encoder", **SOUND}, "audio_token_id": 1}
VIBES: dict[str, Any] = {
    "model_type": "vibevoice_acoustic_tokenizer_encoder",
    "hidden_size": 8,
    "num_filters": 2,
    "downsampling_ratios": [2, 2],
    "depths": [1, 1, 1],
}
SPEECH: tuple[FamilyCases, ...] = (
    whole("audioflamingo3", "AudioFlamingo3", "Audio Flamingo 3, text only", FLAMINGO, *QWENS),
    whole(
        "fun_asr_nano",
        "FunAsrNano",
        "Fun-ASR-Nano, text only",
        {
            "audio_config": {
                **without(WHISPER, "max_source_positions"),
                "max_position_embeddings": 9,
                "num_hidden_layers": 2,
                "num_stacked_frames": 2,
                "num_timestamp_prediction_layers": 1,
                "fsmn_kernel_size": 3,
            },
            "adaptor_config": {
                "hidden_size": 32,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "projector_hidden_size": 8,
            },
        },
        *THIRD,
        more=UNTIED,
    ),
    whole(
        "glmasr",
        "GlmAsr",
        "GLM-ASR-Nano, text only",
        {"audio_config": {**without(WHISPER, "max_source_positions"), "max_position_embeddings": 8}},
        ("text of llama, what it lacks by GLM-ASR's defaults", of("llama", **HEADS)),
        (
            "text of llama (biases, other positions), untied head",
            of("llama", head_dim=16, attention_bias=True, rope_parameters=LINEAR),
        ),
        more=UNTIED,
    ),
    whole(
        "granite_speech_plus",
        "GraniteSpeechPlus",
        "Granite Speech 4.1 Plus, text only",
        {
            "encoder_config": ENCODER,
            "projector_config": QFORMER,
            "has_lora_adapter": False,
            # In place of this token the reference reads the first one, even without sound.
            "audio_token_index": 90,
        },
        ("text of granite (its factor of logits does not count), tied head", of("granite", **FACTORS)),
        ("text of granite (biases)", of("granite", attention_bias=True, mlp_bias=True)),
        more=UNTIED,
    ),
    whole("musicflamingo", "MusicFlamingo", "Music Flamingo, text only", FLAMINGO, *QWENS),
    whole(
        "omniasr",
        "OmniASR",
        "OmniASR-LLM, text only",
        {
            "audio_config": {
                **without(WHISPER, "max_source_positions", "num_mel_bins"),
                "conv_dim": [8],
                "conv_kernel": [3],
                "conv_stride": [2],
                "num_conv_pos_embeddings": 4,
                "num_conv_pos_embedding_groups": 2,
            }
        },
        *LLAMAS,
    ),
    whole(
        "vibevoice_asr",
        "VibeVoiceAsr",
        "VibeVoice-ASR, text only",
        {"acoustic_tokenizer_encoder_config": VIBES, "semantic_tokenizer_encoder_config": VIBES},
        *QWENS,
    ),
)

CASES: tuple[FamilyCases, ...] = (*IMAGES, *SPEECH)
