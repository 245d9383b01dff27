"""Cases of Gemma 3n, whose residual stream has several parts."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_multi import SIZES, TORCH

_SLIDING, _FULL = "sliding_attention", "full_attention"
TEXT: dict[str, Any] = {
    **SIZES,
    "head_dim": 8,
    "num_hidden_layers": 6,
    "layer_types": [_SLIDING, _SLIDING, _FULL, _SLIDING, _SLIDING, _FULL],
    "num_kv_shared_layers": 3,
    "sliding_window": 5,
    "activation_sparsity_pattern": [0.7, 0.0, 0.4, 0.7, 0.7, 0.0],
    "hidden_size_per_layer_input": 6,
    "vocab_size_per_layer_input": VOCAB - 9,
    "altup_num_inputs": 3,
    "laurel_rank": 4,
    "final_logit_softcapping": 8.0,
}
OTHER: dict[str, Any] = {
    **TEXT,
    "num_hidden_layers": 3,
    "layer_types": [_FULL, _SLIDING, _FULL],
    "num_kv_shared_layers": 0,
    "activation_sparsity_pattern": None,
    "intermediate_size": [48, 40, 56],
    "vocab_size_per_layer_input": VOCAB,
    "altup_num_inputs": 2,
    "altup_active_idx": 1,
    "altup_correct_scale": False,
    "attention_bias": True,
    "hidden_activation": "silu",
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-4,
    "rope_parameters": {
        _FULL: {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0},
        _SLIDING: {"rope_type": "default", "rope_theta": 500.0},
    },
}
#: Towers as small as can be; their tokens are the last ones of the vocabulary.
VISION: dict[str, Any] = {"hidden_size": 8, "vocab_size": 6, "vocab_offset": VOCAB - 13}
SOUND: dict[str, Any] = {
    "hidden_size": 12,
    "vocab_size": 7,
    "vocab_offset": VOCAB - 7,
    "input_feat_size": 16,
    "conf_num_attention_heads": 2,
    "conf_num_hidden_layers": 1,
    "sscp_conv_channel_size": [4, 4],
}
TOWERS: dict[str, Any] = {"vision_config": VISION, "audio_config": SOUND}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "gemma3n_text",
        "Gemma3nTextConfig",
        "Gemma3nForCausalLM",
        TEXT,
        (
            Case(
                "a residual stream of three parts, cut gates, per-layer embeddings, layers that read others' "
                "keys and values, soft cap",
                {},
            ),
            Case(
                "a stream of two whose second part is active, whole gates, blocks of several widths, biases, "
                "untied head, rope linear on global layers",
                OTHER,
                full=True,
            ),
        ),
        v4={**TORCH, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "altup_lr_multiplier": 1.0},
        v4_removed=("dtype", "rope_parameters"),
        known_as="Gemma 3n (text model)",
    ),
    FamilyCases(
        "gemma3n",
        "Gemma3nConfig",
        "Gemma3nForConditionalGeneration",
        TOWERS,
        (
            Case(
                "text part of a checkpoint that reads images and sound, tables for their tokens",
                {"text_config": TEXT},
            ),
            Case(
                "a stream of two parts, no tokens of images and sound, untied head",
                {
                    "text_config": OTHER,
                    "vision_config": {**VISION, "vocab_offset": VOCAB},
                    "audio_config": {**SOUND, "vocab_offset": VOCAB + 6},
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={**TORCH, "text_config": {**TEXT, "model_type": "gemma3n_text"}},
        v4_removed=("dtype",),
        known_as="Gemma 3n (E2B, E4B), text only",
    ),
)
