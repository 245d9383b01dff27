"""Cases of GPT-2."""

from __future__ import annotations

from tests.families.case import VOCAB, Case, FamilyCases

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "gpt2",
        "GPT2Config",
        "GPT2LMHeadModel",
        {"vocab_size": VOCAB, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
        (
            Case("defaults", {}),
            Case(
                "n_inner, relu, odd head count",
                {"n_embd": 30, "n_head": 3, "n_inner": 50, "activation_function": "relu"},
                full=True,
            ),
            Case(
                "scale_attn_by_inverse_layer_idx, unscaled attention, silu",
                {
                    "scale_attn_by_inverse_layer_idx": True,
                    "scale_attn_weights": False,
                    "activation_function": "silu",
                },
            ),
            Case(
                "reorder_and_upcast_attn, untied head, gelu",
                {
                    "reorder_and_upcast_attn": True,
                    "tie_word_embeddings": False,
                    "activation_function": "gelu",
                },
                full=True,
            ),
            Case(
                "quick_gelu, 5 heads, epsilon",
                {"n_embd": 40, "n_head": 5, "activation_function": "quick_gelu", "layer_norm_epsilon": 1e-3},
            ),
        ),
        v4={
            "n_ctx": 64,
            "torch_dtype": "float32",
            "summary_type": "cls_index",
            "task_specific_params": {"text-generation": {"do_sample": True}},
        },
        v4_removed=("dtype",),
        known_as="GPT-2, DistilGPT2, DialoGPT, GPT-SW3",
    ),
)
