"""Tiny configurations of every family: what the parity tests run and the support matrix lists.

Each case is a set of arguments of the reference's own config class. ``v4`` is a config.json as version 4 of
the reference wrote it, for the same weights as the family's first case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One configuration: ``touches`` says in the matrix what it covers."""

    touches: str
    config: dict[str, Any]


@dataclass(frozen=True)
class FamilyCases:
    """A model_type with its cases; ``base`` is shared by all of them.

    Attributes:
      config_class, model_class: names in ``transformers``.
      v4: replaces keys of the first case's config.json; ``v4_removed`` are taken out of it.
      reference: what the family's name is in the world.
    """

    model_type: str
    config_class: str
    model_class: str
    base: dict[str, Any]
    cases: tuple[Case, ...]
    v4: dict[str, Any] = field(default_factory=dict)
    v4_removed: tuple[str, ...] = ()
    known_as: str = ""


VOCAB = 99

FAMILIES: tuple[FamilyCases, ...] = (
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
        known_as="GPT-2, DistilGPT2, DialoGPT",
    ),
)

BY_TYPE = {family.model_type: family for family in FAMILIES}
