"""What cannot be computed exactly is refused by name, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.errors import UnsupportedError
from exporter.families import FAMILIES, read_spec
from exporter.families.registry import REFUSED


@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_refused_model_types(model_type: str) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert model_type in CONFIG_MAPPING_NAMES, "a name that no checkpoint has helps nobody"
    assert model_type not in FAMILIES
    with pytest.raises(UnsupportedError, match=f"model_type '{model_type}' is not supported: it"):
        read_spec({"model_type": model_type})


#: Refused though the text model inside is built: what the refusal says of the whole.
TEXT_IS_BUILT = {
    "blip-2": "writes nothing to text alone",
    "florence2": "such are read from configs of their own alone",
    "gemma4_assistant": "writes none of its own",
    "gemma4_unified_assistant": "writes none of its own",
    "instructblip": "writes nothing to text alone",
    "instructblipvideo": "writes nothing to text alone",
    "nemo_speechlm": "keep experts as NeMo does",
    "paligemma": "in both directions",
    "shieldgemma2": "writes none",
    "vibevoice": "it writes sound",
}


def test_no_type_is_refused_whose_text_model_is_built_unless_that_is_explained() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    built = {}
    for model_type in REFUSED:
        inner = (getattr(CONFIG_MAPPING[model_type], "sub_configs_defaults", None) or {}).get("text_config")
        if inner and inner.model_type in FAMILIES:
            built[model_type] = REFUSED[model_type]
    assert built.keys() == TEXT_IS_BUILT.keys()
    assert all(TEXT_IS_BUILT[model_type] in reason for model_type, reason in built.items())


def test_unknown_model_type_names_the_nearest() -> None:
    with pytest.raises(UnsupportedError, match="did you mean 'falcon'"):
        read_spec({"model_type": "falkon"})


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("bloom", {"slow_but_exact": True, "pretraining_tp": 2}, "slow_but_exact=True is not supported"),
    ("bloom", {"n_embed": 60, "n_head": 7}, "hidden_size=60 is not divisible by n_head=7"),
    ("mpt", {"attn_config": [1]}, "attn_config=[1] must be an object"),
    ("mpt", {"attn_config": {"clip_qkv": "6"}}, "attn_config.clip_qkv='6' must be a number"),
    ("mpt", {"attn_config": {"sliding_window": 3}}, "attn_config.sliding_window=3: the reference reads this"),
    ("gptj", {"rotary_dim": 63}, "rotary_dim=63 must be even"),
    ("gptj", {"rotary_dim": None}, "rotary_dim=None must be an integer"),
    ("codegen", {"n_head": 2}, "n_head=2 must be divisible by 4"),
    ("gpt_neo", {"attention_layers": ["global"]}, "must hold 'global' or 'local' for each of 24 layers"),
    (
        "gpt_neo",
        {"attention_types": [[["global"], 10**9]]},
        "must come to 'global' or 'local' for each of 24",
    ),
    ("gpt_bigcode", {"add_cross_attention": True}, "add_cross_attention=True"),
    ("xglm", {"pad_token_id": 5}, "pad_token_id=5 blanks a position"),
    (
        "falcon",
        {"new_decoder_architecture": True, "parallel_attn": False},
        "new_decoder_architecture=True with parallel_attn=False",
    ),
    ("falcon", {"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn=2"),
    ("falcon", {"multi_query": False, "num_kv_heads": 3}, "num_kv_heads=3 does not fit"),
    ("stablelm", {"head_dim": 8}, "head_dim=8"),
    ("granite", {"logits_scaling": 0.0}, "logits_scaling=0"),
    ("cohere2", {"sliding_window": None}, "there is no sliding_window"),
    (
        "olmo3",
        {"rope_parameters": {"rope_type": "default"}},
        "must hold an object for 'full_attention' and for 'sliding_attention'",
    ),
    ("smollm3", {"no_rope_layers": [1, 2]}, "no_rope_layers=[1, 2] must hold 0 or 1 for each"),
    (
        "ministral3",
        {"rope_parameters": {"rope_type": "default"}},
        "llama_4_scaling_beta=None must be a number",
    ),
    ("mixtral", {"num_experts_per_tok": 9}, "num_experts_per_tok=9 is more than the 8 experts"),
    ("gpt_oss", {"swiglu_limit": 6.0}, "swiglu_limit=6.0"),
    ("gpt_oss", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config.quant_method='gptq'"),
    ("mixtral", {"quantization_config": {"quant_method": "mxfp4"}}, "the weights are quantised"),
    ("gemma3n_text", {"altup_active_idx": 4}, "altup_active_idx=4 must be less than altup_num_inputs=4"),
    (
        "gemma3n_text",
        {"activation_sparsity_pattern": [0.0] * 34 + [1.5]},
        "activation_sparsity_pattern.34=1.5 must be 0, or from",
    ),
    ("gemma3n_text", {"intermediate_size": [8]}, "intermediate_size=[8] must be a list of 35 values"),
    ("gemma3n_text", {"num_hidden_layers": 10}, "num_kv_shared_layers=15 leaves no layer of full_attention"),
    (
        "gemma3n",
        {"audio_config": {"vocab_size": 100}},
        "audio_config.vocab_size=100 is less than the 128 tokens from vocab_offset=262272 to 262400",
    ),
    ("helium", {"head_dim": 64}, "num_attention_heads=20 times head_dim=64 must be hidden_size=2560"),
    ("exaone4", {"sliding_window": None}, "sliding_window=None needs layer_types"),
    ("cwm", {"sliding_window": None}, "there is no sliding_window"),
    ("diffllama", {"num_key_value_heads": 1}, "num_key_value_heads=1 must be even"),
    ("diffllama", {"attention_dropout": 0.1}, "attention_dropout must be 0"),
    ("internlm3", {"qkv_bias": True}, "qkv_bias must be as bias=False"),
    ("iquestcoder", {"clip_qkv": 8.0}, "clip_qkv=8.0 is not supported"),
    ("granite_swa", {"layer_rope_theta": [1.0]}, "layer_rope_theta=[1.0] must be a list of 24 numbers"),
    (
        "hunyuan_v1_dense",
        {"rope_scaling": {"type": "dynamic", "alpha": 1e12, "factor": 1.0}},
        "rope_scaling.alpha=1000000000000.0 must be at most",
    ),
    (
        "apertus1p5_text",
        {"output_vocab_size": 7},
        "output_vocab_size=7 is not supported: a head",
    ),
    (
        "modernbert-decoder",
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        "what it adds to either kind of layer is not built",
    ),
    ("ctrl", {"n_embd": 15, "n_head": 3}, "n_embd=15 must be even"),
    ("fuyu", {"partial_rotary_factor": 0.25}, "without a text_config half of each head turns"),
    ("fuyu", {"rope_parameters": {"rope_theta": 2.0}}, "without a text_config the reference passes them"),
    (
        "apertus1p5",
        {"text_config": {"output_vocab_size": 7}},
        "text_config.output_vocab_size=7 is not supported: a head",
    ),
]


@pytest.mark.parametrize(("model_type", "changes", "message"), CASES)
def test_refused_values(model_type: str, changes: dict[str, Any], message: str) -> None:
    read_spec({"model_type": model_type})
    with pytest.raises(UnsupportedError) as caught:
        read_spec({"model_type": model_type, **changes})
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2, "one problem, one line"


def test_a_key_of_a_section_can_be_ignored() -> None:
    config = {"model_type": "mpt", "attn_config": {"sliding_window": 3}}
    spec = read_spec(config, ignore_config_keys=["attn_config.sliding_window"])
    assert spec.ignored_config_keys == ("attn_config.sliding_window",)


def test_a_head_of_another_size_than_the_text_model() -> None:
    config = {"model_type": "ovis2", "hidden_size": 4096, "vocab_size": 151936}
    read_spec(config)
    with pytest.raises(UnsupportedError, match="vocab_size=7 must be that of the text model, 151936"):
        read_spec({**config, "vocab_size": 7})
