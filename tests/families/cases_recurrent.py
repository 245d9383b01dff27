"""Cases of recurrences whose every feature decays by itself: RG-LRU, and RWKV's WKV."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_kin import V4_REMOVED

TORCH = {"torch_dtype": "float32"}
STATE: dict[str, Any] = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 3}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "recurrent_gemma",
        "RecurrentGemmaConfig",
        "RecurrentGemmaForCausalLM",
        {**STATE, "intermediate_size": 96, "num_attention_heads": 4, "attention_window_size": 5},
        (
            Case("RG-LRU and windowed attention, one key head, half of it turns", {"num_key_value_heads": 1}),
            Case(
                "attention first, three tokens at once, wider recurrences, biases, whole heads turn, silu, "
                "own cap and epsilon, head of its own",
                {
                    "block_types": ["attention", "recurrent"],
                    "conv1d_width": 3,
                    "lru_width": 40,
                    "attention_bias": True,
                    "rope_parameters": {
                        "rope_type": "default",
                        "rope_theta": 500.0,
                        "partial_rotary_factor": 1.0,
                    },
                    "hidden_activation": "silu",
                    "logits_soft_cap": 4.0,
                    "rms_norm_eps": 1e-3,
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={
            **TORCH,
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "embeddings_scale_by_sqrt_dim": True,
        },
        v4_removed=V4_REMOVED,
        known_as="RecurrentGemma",
    ),
    FamilyCases(
        "rwkv",
        "RwkvConfig",
        "RwkvForCausalLM",
        {**STATE, "pad_token_id": 0},
        (
            # An epsilon that shows how often the residual stream was halved.
            Case("time mix and channel mix, halved once", {"rescale_every": 2, "layer_norm_epsilon": 1e-3}),
            Case(
                "halved behind every layer, own widths, tied head",
                {
                    "rescale_every": 1,
                    "layer_norm_epsilon": 1e-3,
                    "attention_hidden_size": 40,
                    "intermediate_size": 48,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
            Case("never halved", {"rescale_every": -1}, full=True),
        ),
        v4=TORCH,
        v4_removed=("dtype",),
        known_as="RWKV 4",
    ),
)
