"""Latent attention: what the cache holds and what that is counted as, and the other name of its family."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tensorflow as tf

from exporter.errors import UnsupportedError
from exporter.exporting.memory import baked_bytes, cache_bytes_per_row
from exporter.families import read_spec, unread_notes
from exporter.generation import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from exporter.spec import MoeSpec
from tests.model.toys import CONFIGS, prompt_of, random_model

# As Kimi-K2-Instruct is published, without what its quantisation is.
KIMI: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"},
    "aux_loss_alpha": 0.001,
    "bos_token_id": 163584,
    "eos_token_id": 163585,
    "ep_size": 1,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 7168,
    "initializer_range": 0.02,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 131072,
    "model_type": "kimi_k2",
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 384,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 64,
    "num_nextn_predict_layers": 0,
    "pretraining_tp": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 1.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "rope_theta": 50000.0,
    "routed_scaling_factor": 2.827,
    "scoring_func": "sigmoid",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.48.3",
    "use_cache": True,
    "v_head_dim": 128,
    "vocab_size": 163840,
}


def test_kimi_k2_is_read_as_deepseek_v3() -> None:
    spec = read_spec(KIMI)
    assert spec == read_spec({**KIMI, "model_type": "deepseek_v3"})
    assert spec.model_type == "deepseek_v3"
    notes = " ".join(unread_notes(spec))
    assert "model_type of config.json is none of transformers" in notes
    assert "scoring_func" not in notes, "it is looked at"
    assert "trust_remote_code" not in notes, "transformers loads nothing without"


@pytest.mark.parametrize(
    ("key", "value"), [("scoring_func", "softmax"), ("topk_method", "greedy"), ("moe_layer_freq", 2)]
)
def test_what_deepseek_v3_takes_for_granted(key: str, value: Any) -> None:
    with pytest.raises(UnsupportedError, match=f"{key}={value!r}"):
        read_spec({**KIMI, key: value})


@pytest.mark.parametrize("normalise", [True, False, None])
def test_weights_of_experts_are_normalised_where_the_reference_finds_it_true(normalise: bool | None) -> None:
    from transformers import DeepseekV3Config

    theirs = DeepseekV3Config(norm_topk_prob=normalise).norm_topk_prob
    mixture = read_spec({**KIMI, "norm_topk_prob": normalise}).decoder.layers[-1].mlp
    assert isinstance(mixture, MoeSpec)
    assert mixture.router.normalise is bool(theirs)


def test_bytes_are_those_of_the_latent() -> None:
    """70.272 kB a token in bfloat16 (DeepSeek-AI 2025, "Insights into DeepSeek-V3", table 1)."""
    spec = read_spec({"model_type": "deepseek_v3"})
    beams = GenerationOptions(max_new_tokens=20, num_beams=4)
    assert cache_bytes_per_row(spec, 100, [beams], "bfloat16") == (100 + 4 * 20) * 70_272
    assert baked_bytes(spec, 100, "bfloat16") == 100 * 70_272 + 2 * 7168


@pytest.mark.parametrize("beams", [pytest.param(1, marks=pytest.mark.full), 3])
def test_a_program_carries_one_latent_a_token(beams: int) -> None:
    """Sizes unlike any others: no segment has an axis of heads, and there are no values beside the keys."""
    rows, new, width, layers = 5, 37, 10 + 4, 2
    model = random_model(CONFIGS["latent"])
    options = GenerationOptions(max_new_tokens=new, pad_token_id=0, num_beams=beams)

    @tf.function(autograph=False, jit_compile=True)
    def program(prompt: Prompt) -> tf.Tensor:
        given = default_rows(options, tf.constant(rows))
        return generate(model, prompt, options, given, row_options=False).sequences

    hlo = program.experimental_get_compiler_ir(prompt_of([[3, 4, 5]] * rows, 9))(stage="optimized_hlo")
    carried = [
        [
            shape
            for shape in re.findall(r"f32\[([\d,]+)\]", line)
            if shape.split(",")[1:2] == [str(new * beams)]
        ]
        for line in hlo.splitlines()
        if " while(" in line and f"f32[{rows},{new * beams},{width}]" in line
    ]
    assert len(carried) == 1, "one decoding loop"
    assert carried[0].count(f"{rows},{new * beams},{width}") == len(carried[0]) == layers
