"""Which keys of a config.json matter: those that the reference reads, as its own run and its source say."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import GenerationConfig, PreTrainedConfig

from exporter.errors import UnsupportedError
from exporter.families import FAMILIES as READERS
from exporter.families import config_keys, read_spec, scan
from exporter.families.config_keys import ROTARY, Reference, read_table, reference_of, table_keys
from exporter.families.family import expect_kind
from exporter.families.reader import GENERATION, HARMLESS, ConfigReader
from tests.conftest import ROOT
from tests.encoder_decoder.cases import FAMILIES as ENCODER_DECODER
from tests.families.case import FamilyCases
from tests.families.cases import BY_TYPE
from tests.families.cases import FAMILIES as DECODER_ONLY
from tests.families.reference import keeps_a_cache

FAMILIES = (*DECODER_ONLY, *ENCODER_DECODER)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)


def config_of(family: FamilyCases, case: int = 0) -> dict[str, Any]:
    return {"model_type": family.model_type, **family.base, **family.cases[case].config}


def test_the_table_is_that_of_the_installed_version() -> None:
    if read_table()["transformers"] != transformers.__version__:
        pytest.skip(f"the table is of transformers {read_table()['transformers']}")
    path = ROOT / "scripts" / "make_config_keys.py"
    spec = importlib.util.spec_from_file_location("make_config_keys", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TARGET.read_text(encoding="utf-8") == script.render(), "run scripts/make_config_keys.py"


def test_the_table_has_every_family() -> None:
    assert read_table()["keys"].keys() == {"shared", *READERS}


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The attributes that the reference asks its configs for, except while it checks or saves them.

    Each with the module of the config's class.
    """
    names: set[tuple[str, str]] = set()
    original = PreTrainedConfig.__getattribute__

    def recording(self: PreTrainedConfig, name: str) -> Any:
        function = sys._getframe(1).f_code.co_name
        checks = scan._OTHER_FUNCTIONS.match(function) or function == "_get_generation_parameters"
        if not checks:
            names.add((type(self).__module__, name))
        return original(self, name)

    monkeypatch.setattr(PreTrainedConfig, "__getattribute__", recording)
    return names


@every_family
def test_what_the_reference_touches_is_in_the_table(
    family: FamilyCases, full: bool, touched: set[tuple[str, str]]
) -> None:
    """Loading, building and generating reads no key that the source did not show."""
    config_class = getattr(transformers, family.config_class)
    for case in range(len(family.cases) if full else 1):
        config = config_class(**config_of(family, case))
        model = getattr(transformers, family.model_class)(config).eval()
        options = {"max_new_tokens": 2, "do_sample": False, "pad_token_id": 0}
        if not keeps_a_cache(model):
            options["use_cache"] = False
        with torch.no_grad():
            model.generate(torch.tensor([[5, 6, 7]]), **options)
    read = reference_of(family.model_type).keys.config | ROTARY
    # What a checkpoint joins to a model of another type is that type's: of its own cases, or a tower.
    own = {name for module, name in touched if module == config_class.__module__}
    code = {name for name in own if name.startswith("__") or callable(getattr(config_class, name, None))}
    assert own - code - read - {"output_cross_attentions"} - GENERATION == set()
    assert {"vocab_size", "_attn_implementation"} <= {name for _, name in touched}, "the recording works"


@every_family
def test_listed_by_hand_is_only_what_the_reference_reads(family: FamilyCases) -> None:
    read = reference_of(family.model_type).keys.config | ROTARY
    assert set(READERS[family.model_type].harmless) <= read


def test_harmless_everywhere_is_only_what_the_reference_reads() -> None:
    table = read_table()
    everything = frozenset().union(*(table_keys(table, entry).config for entry in table["keys"]))
    # Never deserialised, or only by older code.
    assert HARMLESS - everything <= {"output_cross_attentions"}


# Only looked at where the reference checks a config, and refused there.
CHECKED = {"iquestcoder": ("clip_qkv", "use_sliding_window")}


@every_family
def test_what_a_reader_uses_the_reference_reads(family: FamilyCases) -> None:
    ours, read = READERS[family.model_type], reference_of(family.model_type).keys
    reader = ConfigReader(config_of(family), ours.aliases, read=read.config, read_of_rope=read.rope)
    expect_kind(reader, encoder_decoder=ours.encoder_decoder)
    ours.read(reader)
    renamed = set(ours.aliases.values())
    # Refused where it is true even by families whose class passes over it: such weights are of a decoder.
    assert reader._used - read.config - renamed <= {
        "add_cross_attention",
        *CHECKED.get(family.model_type, ()),
    }


def test_generation_keys_are_those_of_the_reference() -> None:
    assert set(GenerationConfig._get_default_generation_params()) <= GENERATION | HARMLESS


@every_family
def test_unread_keys_are_listed_and_change_nothing(family: FamilyCases) -> None:
    config = config_of(family)
    unread = {"novel_scaling": 2.0, "auto_map": {"AutoConfig": "x.Y"}, "pruned_heads": {"1": [0]}}
    spec = read_spec({**config, **unread})
    assert spec == read_spec(config)
    assert {*spec.unread_config_keys} == {*read_spec(config).unread_config_keys, *unread}


def test_unread_keys_of_sections_and_of_rotary_parameters() -> None:
    spec = read_spec({"model_type": "mpt", "attn_config": {"alibi": False, "window": 3}, "no_bias": False})
    assert spec == read_spec({"model_type": "mpt"})
    assert spec.unread_config_keys == ("attn_config.alibi", "attn_config.window", "no_bias")
    rope = {"rope_type": "linear", "factor": 2.0, "beta_fast": 32.0, "finetuned": True}
    spec = read_spec({"model_type": "llama", "rope_scaling": rope, "rope_parameters": {"rope_theta": 5.0}})
    assert spec.unread_config_keys == ("rope_parameters", "rope_scaling.finetuned")


PUBLISHED: list[tuple[dict[str, Any], set[str]]] = [
    # As SmolLM2-135M-Instruct is published.
    (
        {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 576,
            "initializer_range": 0.041666666666666664,
            "intermediate_size": 1536,
            "is_llama_config": True,
            "max_position_embeddings": 8192,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 9,
            "num_hidden_layers": 30,
            "num_key_value_heads": 3,
            "pad_token_id": 2,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_interleaved": False,
            "rope_scaling": None,
            "rope_theta": 100000,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.42.3",
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
            "use_cache": True,
            "vocab_size": 49152,
        },
        {"is_llama_config", "pretraining_tp", "rope_interleaved", "transformers.js_config"},
    ),
    # As Gemma 3 270M is published.
    (
        {
            "_sliding_window_pattern": 6,
            "architectures": ["Gemma3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "attn_logit_softcapping": None,
            "bos_token_id": 2,
            "eos_token_id": 1,
            "final_logit_softcapping": None,
            "head_dim": 256,
            "hidden_activation": "gelu_pytorch_tanh",
            "hidden_size": 640,
            "initializer_range": 0.02,
            "intermediate_size": 2048,
            "layer_types": [("full" if (i + 1) % 6 == 0 else "sliding") + "_attention" for i in range(18)],
            "max_position_embeddings": 32768,
            "model_type": "gemma3_text",
            "num_attention_heads": 4,
            "num_hidden_layers": 18,
            "num_key_value_heads": 1,
            "pad_token_id": 0,
            "query_pre_attn_scalar": 256,
            "rms_norm_eps": 1e-06,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": None,
            "rope_theta": 1000000.0,
            "sliding_window": 512,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.55.0.dev0",
            "use_bidirectional_attention": False,
            "use_cache": True,
            "vocab_size": 262144,
        },
        set(),
    ),
]


@pytest.mark.parametrize(("config", "unread"), PUBLISHED, ids=lambda value: str(type(value)))
def test_published_configs(config: dict[str, Any], unread: set[str]) -> None:
    spec = read_spec(config)
    assert set(spec.unread_config_keys) == unread
    config_class = type(transformers.AutoConfig.for_model(config["model_type"]))
    assert spec == read_spec(config_class(**config).to_dict())


# What version 4 added to every config that it wrote whole (to_dict, use_diff=False, nested configs).
WHOLE_V4: dict[str, Any] = {
    "return_dict": True,
    "output_hidden_states": False,
    "torchscript": False,
    "torch_dtype": None,
    "use_bfloat16": False,
    "tf_legacy_loss": False,
    "pruned_heads": {},
    "chunk_size_feed_forward": 0,
    "is_decoder": False,
    "cross_attention_hidden_size": None,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "architectures": None,
    "finetuning_task": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "tokenizer_class": None,
    "prefix": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "sep_token_id": None,
    "task_specific_params": None,
    "problem_type": None,
    "_name_or_path": "",
    "_attn_implementation_autoset": False,
    "transformers_version": "4.46.0",
    "output_attentions": False,
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "early_stopping": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "num_return_sequences": 1,
    "output_scores": False,
    "return_dict_in_generate": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}


@every_family
def test_whole_dumps(family: FamilyCases) -> None:
    config, config_class = config_of(family), getattr(transformers, family.config_class)
    spec = read_spec(config)
    assert read_spec({**WHOLE_V4, **config}) == spec
    assert read_spec(config_class(**config).to_dict()) == spec


@pytest.mark.parametrize("model_type", ["llama", "bloom", "mixtral", "gpt2"])
def test_cross_attention(model_type: str) -> None:
    read_spec({"model_type": model_type, "add_cross_attention": False})
    with pytest.raises(UnsupportedError, match="add_cross_attention=True is not supported: cross-attention"):
        read_spec({"model_type": model_type, "add_cross_attention": True})


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
ROTARY_CONFIGS: list[dict[str, Any]] = [
    {},
    {"rope_theta": 500.0},
    {"rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 500.0},
    {"rope_scaling": {"rope_type": "dynamic", "factor": 2}},
    {"rope_scaling": {**YARN, "rope_theta": 77.0}, "rope_theta": 500.0},
    {"rope_scaling": {}, "rope_theta": 500.0},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    {"rope_parameters": {"rope_type": "default"}, "rope_theta": 500.0},
    {"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}, "rope_scaling": YARN},
    {"rope_parameters": {"rope_theta": 500.0}, "rope_scaling": YARN, "rope_theta": 50.0},
    {"rope_scaling": {**YARN, "type": "linear"}},
    {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}},
]
NESTED_CONFIGS: list[dict[str, Any]] = [
    {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 8.0, "rope_theta": 9.0}},
    {"rope_parameters": {"full_attention": {**YARN, "rope_theta": 3.0}, "sliding_attention": None}},
    {
        "rope_parameters": {"full_attention": {"rope_type": "default"}},
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "rope_theta": 500.0,
    },
]
ONE_ROTARY = "llama mistral qwen2 gemma cohere falcon gpt_neox stablelm phi mixtral starcoder2 granite olmo"


@pytest.mark.parametrize("model_type", ONE_ROTARY.split())
def test_rotary_parameters_as_the_reference_arranges_them(model_type: str) -> None:
    assert_as_arranged(model_type, ROTARY_CONFIGS)


@pytest.mark.parametrize("model_type", ["gemma3_text", "olmo3"])
def test_nested_rotary_parameters_as_the_reference_arranges_them(model_type: str) -> None:
    kinds = {"layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2}
    assert_as_arranged(model_type, [{}, {"rope_theta": 500.0}, *NESTED_CONFIGS], **kinds)


def assert_as_arranged(model_type: str, configs: list[dict[str, Any]], **changes: Any) -> None:
    family = BY_TYPE[model_type]
    base = {"model_type": model_type, **family.base, **changes}
    seen = set()
    for config in configs:
        # The reference's class changes the objects that it is given.
        theirs = getattr(transformers, family.config_class)(**{**base, **_copied(config)}).to_dict()
        spec = read_spec({**base, **config})
        assert spec == read_spec(theirs), config
        seen.add(spec)
    assert len(seen) > len(configs) // 2


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


SCALED = [{}, {"tie_word_embeddings": False}, {"scale_decoder_outputs": False}, {"tie_word_embeddings": True}]


@pytest.mark.parametrize("config", SCALED, ids=str)
@pytest.mark.parametrize("model_type", ["t5", "umt5"])
def test_scaled_decoder_outputs(model_type: str, config: dict[str, Any]) -> None:
    theirs = transformers.AutoConfig.for_model(model_type, **config)
    head = read_spec({"model_type": model_type, **config}).head
    assert (head.input_scale != 1.0) == theirs.scale_decoder_outputs


@pytest.mark.parametrize("null", ["multi_query", "parallel_attn"])
def test_null_where_the_reference_gives_it_a_meaning(null: str) -> None:
    assert not getattr(transformers.FalconConfig(**{null: None}), null)
    base = {"model_type": "falcon"}
    assert read_spec({**base, null: None}) == read_spec({**base, null: False}) != read_spec(base)


def test_infinity_as_the_reference_writes_it() -> None:
    with pytest.raises(UnsupportedError, match="rms_norm_eps=inf must be a number"):
        read_spec({"model_type": "llama", "rms_norm_eps": {"__float__": "Infinity"}})


CONFIGURATION = """
class LlamaConfig:
    model_type = "llama"
    def __post_init__(self, **kwargs):
        self.width = kwargs.pop("novel_width", 4)
"""
MODELLING = """
class LlamaModel:
    def __init__(self, config):
        self.scale = getattr(config, "novel_scale", 1.0)
        self.size = config.hidden_size
    def forward(self):
        return self.config.rope_parameters["novel_factor"]
class LlamaForSequenceClassification:
    def __init__(self, config):
        self.dropout = config.novel_dropout
"""


@pytest.fixture
def other_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another version of transformers, as the installed one: its shared files are empty."""
    for name in (*scan.CONFIG_CODE, *scan.SHARED_CODE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    folder = tmp_path / "models" / "llama"
    folder.mkdir()
    (folder / "configuration_llama.py").write_text(CONFIGURATION)
    (folder / "modeling_llama.py").write_text(MODELLING)
    monkeypatch.setattr(config_keys, "_installed", lambda: "99.0.0")
    monkeypatch.setattr(config_keys, "package_directory", lambda: tmp_path)
    reference_of.cache_clear()
    yield tmp_path
    reference_of.cache_clear()


def test_another_installed_version_counts_too(other_version: Path) -> None:
    table = read_table()["transformers"]
    keys, version = reference_of("llama")
    assert version == f"transformers {table} and 99.0.0"
    assert {"novel_width", "novel_scale", "rms_norm_eps", "sliding_window"} <= keys.config
    assert "novel_factor" in keys.rope
    assert "novel_dropout" not in keys.config, "another task"
    with pytest.raises(
        UnsupportedError, match=r"novel_scale=2: the reference reads this key.*novel_scale exp"
    ):
        read_spec({"model_type": "llama", "novel_scale": 2})
    assert read_spec({"model_type": "llama", "novel_dropout": 2}).unread_config_keys == ("novel_dropout",)


def test_a_version_that_does_not_know_the_family_leaves_the_table(other_version: Path) -> None:
    assert reference_of("gpt2") == Reference(
        reference_of("gpt2").keys, f"transformers {read_table()['transformers']}"
    )
    (other_version / "modeling_utils.py").unlink()
    assert reference_of("llama").version.endswith(" and 99.0.0"), "a version may lack a file"
    (other_version / "configuration_utils.py").unlink()
    reference_of.cache_clear()
    assert re.fullmatch(r"transformers [\d.]+", reference_of("llama").version)
