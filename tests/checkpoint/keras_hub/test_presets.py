"""A preset's files: broken ones are refused by name, and what a preset leaves open is said."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from exporter.checkpoint import Checkpoint, locate, open_checkpoint
from exporter.checkpoint.keras_hub.weights_h5 import INDEX, WEIGHTS
from exporter.errors import CheckpointError, GenserveError, MissingExtraError, OptionError, UnsupportedError
from exporter.exporting.keras_hub_task import checkpoint_of, name_of
from exporter.families import count_weights, read_spec
from tests.checkpoint.keras_hub.cases import CASES, build
from tests.checkpoint.keras_hub.vocabulary import byte_level

keras_hub = pytest.importorskip("keras_hub", reason="the extra keras-hub is not installed")
Change = Callable[[Path], Any]


@pytest.fixture(scope="module")
def task() -> Any:
    """A Llama 3 whose head is tied, which its configuration does not say."""
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    vocabulary, merges = byte_level(names)
    tokenizer = keras_hub.models.Llama3Tokenizer(vocabulary=vocabulary, merges=merges)
    case = next(case for case in CASES if case.name == "llama3-tied")
    case.config["vocabulary_size"] = len(vocabulary)
    return keras_hub.models.Llama3CausalLM(
        backbone=build(case),
        preprocessor=keras_hub.models.Llama3CausalLMPreprocessor(tokenizer, sequence_length=40),
    )


@pytest.fixture(scope="module")
def saved(task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset of ``task``."""
    path = tmp_path_factory.mktemp("preset")
    task.save_to_preset(str(path))
    return path


@pytest.fixture
def preset(saved: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "preset"))


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    return json.loads((checkpoint.path / "config.json").read_text())  # type: ignore[no-any-return]


def test_what_the_preset_leaves_open_is_decided_and_said(saved: Path) -> None:
    checkpoint = open_checkpoint(saved)
    config = _config(checkpoint)
    assert config["tie_word_embeddings"] is True  # in no file: the weights hold no head
    assert config["max_position_embeddings"] == 40
    assert any("max_position_embeddings=40" in note for note in checkpoint.notes)
    assert any("greedy" in note for note in checkpoint.notes)
    ids = json.loads((saved / "assets/tokenizer/vocabulary.json").read_text())
    assert checkpoint.generation_config is not None
    assert checkpoint.generation_config["eos_token_id"] == [ids["<|end_of_text|>"], ids["<|eot_id|>"]]


def test_its_own_files_are_the_sources(saved: Path) -> None:
    checkpoint = open_checkpoint(saved)
    there = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()}
    assert checkpoint.source == saved
    assert set(checkpoint.source_files) == there


def test_a_task_in_memory_is_its_preset(task: Any, saved: Path) -> None:
    from_files, from_memory = open_checkpoint(saved), checkpoint_of(task)
    assert _config(from_files) == _config(from_memory)
    names = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
    for name in names:
        assert (from_files.path / name).read_text() == (from_memory.path / name).read_text()
    assert from_files.tensors.keys() == from_memory.tensors.keys()
    for name, tensor in from_files.tensors.items():
        other = from_memory.tensors[name]
        assert (tensor.dtype, tensor.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(tensor.read(), other.read())


@pytest.mark.parametrize("thing", [None, 3, object()])
def test_other_objects_are_refused(thing: object) -> None:
    with pytest.raises(OptionError, match="allowed are a directory, a hub id"):
        name_of(thing)


def test_shards_are_read_tensor_by_tensor(task: Any, saved: Path, preset: Path) -> None:
    (preset / WEIGHTS).unlink()
    task.backbone.save_weights(str(preset / INDEX), max_shard_size=22e-6)
    checkpoint = open_checkpoint(preset)
    assert sum(name.endswith(".h5") for name in checkpoint.source_files) > 1
    for name, tensor in open_checkpoint(saved).tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name].read(), tensor.read())
    shard = next(preset.glob("model_*1.weights.h5"))
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"{shard.name} is missing"):
        open_checkpoint(preset)


def test_bfloat16_stays_bfloat16(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "gpt2")
    backbone = keras_hub.models.GPT2Backbone(**case.config, dtype="bfloat16")
    backbone.save_to_preset(str(tmp_path))
    tensor = open_checkpoint(tmp_path).tensors["transformer.wte.weight"]
    own = np.asarray(backbone.token_embedding.embeddings).astype(np.float32)
    assert tensor.dtype == "BF16"
    np.testing.assert_array_equal(tensor.read().astype(np.float32), own)


def _edit(name: str, **changes: Any) -> Change:
    def change(preset: Path) -> None:
        found = json.loads((preset / name).read_text())
        found["config"] |= changes
        (preset / name).write_text(json.dumps(found))

    return change


def _cut(name: str, share: float) -> Change:
    def change(preset: Path) -> None:
        content = (preset / name).read_bytes()
        (preset / name).write_bytes(content[: int(len(content) * share)])

    return change


def _write(name: str, content: str) -> Change:
    return lambda preset: (preset / name).write_text(content)


def _rename(old: str, new: str) -> Change:
    def change(preset: Path) -> None:
        with h5py.File(preset / WEIGHTS, "a") as file:
            file.move(old, new)

    return change


def _elsewhere(preset: Path) -> None:
    with h5py.File(preset / WEIGHTS, "a") as file:
        file.create_dataset("layers/a/vars/0", (4,), np.float32, external=[("/etc/hostname", 0, 16)])


def _class(name: str, class_name: str) -> Change:
    def change(preset: Path) -> None:
        found = json.loads((preset / name).read_text())
        (preset / name).write_text(json.dumps({**found, "class_name": class_name}))

    return change


_DOWN = "layers/llama_transformer_decoder_1/_feedforward_output_dense/vars/0"
_VOCABULARY = "assets/tokenizer/vocabulary.json"
_INT8 = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}
BROKEN: dict[str, tuple[Change, str]] = {
    "truncated weights": (_cut(WEIGHTS, 0.5), "weights.h5 is truncated or damaged"),
    "empty weights": (_cut(WEIGHTS, 0), "weights.h5 is empty"),
    "a pointer": (_write(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    "another file": (_write(WEIGHTS, "PK is no such file"), "does not begin as an HDF5 file"),
    "data elsewhere": (_elsewhere, "is not stored as one run of bytes in this file"),
    "no weights": (lambda preset: (preset / WEIGHTS).unlink(), "without weights"),
    "a missing variable": (_rename(_DOWN, "layers/other/vars/0"), "no place for:\n  - layers/other/vars/0"),
    "other sizes": (_edit("config.json", num_query_heads=8, intermediate_dim=48), "wrong shape: .*down_proj"),
    "more layers": (_edit("config.json", num_layers=3), "missing: model.layers.2"),
    "fewer layers": (_edit("config.json", num_layers=1), "no place for:\n.*transformer_decoder_1"),
    "an unknown key": (_edit("config.json", logit_scale=2), "logit_scale=2 is not known"),
    "scaled positions": (_edit("config.json", rope_position_scaling_factor=2.0), "=2.0; allowed is 1.0"),
    "a head that is not there": (_edit("config.json", tie_word_embeddings=False), "weights hold no head"),
    "a missing key": (lambda preset: _without(preset, "num_layers"), "num_layers is missing"),
    "a wrong type": (_edit("config.json", num_layers="two"), "num_layers='two'"),
    "quantised": (_edit("config.json", dtype=_INT8), "quantised presets are not read"),
    "no JSON": (_cut("config.json", 0.9), "config.json is not readable JSON"),
    "another backbone": (_class("config.json", "RWKV7Backbone"), "RWKV7Backbone cannot be exported"),
    "a classifier": (_class("task.json", "Llama3TextClassifier"), "generates no text"),
    "another tokenizer": (_class("tokenizer.json", "BytePairTokenizer"), "BytePairTokenizer cannot be"),
    "a padding tokenizer": (_edit("tokenizer.json", sequence_length=8), "sequence_length=8 cannot be"),
    "a truncated vocabulary": (_cut(_VOCABULARY, 0.5), "vocabulary.json is not readable JSON"),
    "another vocabulary": (_write(_VOCABULARY, '{"a": 0}'), "does not fit vocabulary.json"),
    "no merges": (lambda preset: (preset / "assets/tokenizer/merges.txt").unlink(), "merges.txt is missing"),
}


def _without(preset: Path, key: str) -> None:
    found = json.loads((preset / "config.json").read_text())
    del found["config"][key]
    (preset / "config.json").write_text(json.dumps(found))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_presets_are_refused_by_name(name: str, preset: Path) -> None:
    change, message = BROKEN[name]
    change(preset)
    with pytest.raises(GenserveError, match=message):
        _all_of(preset)


def _all_of(preset: Path) -> None:
    checkpoint = open_checkpoint(preset)
    count_weights(read_spec(checkpoint.config), checkpoint)


def test_a_config_that_no_reference_has_is_refused_whole() -> None:
    from exporter.checkpoint.keras_hub.architecture import reference_config
    from exporter.checkpoint.keras_hub.architectures import architecture_of

    config = {"use_post_ffw_norm": True, "use_post_attention_norm": False, "layer_norm_epsilon": 1e-5}
    with pytest.raises(UnsupportedError, match=r"norm=False(.|\n)*epsilon=1e-05"):
        reference_config("GemmaBackbone", architecture_of("GemmaBackbone", config), config)


def test_gemmas_query_scale_is_the_configurations() -> None:
    """KerasHub's layers take head_dim whatever the backbone is told."""
    from exporter.checkpoint.keras_hub.architectures import architecture_of

    config = {
        **next(case for case in CASES if case.name == "gemma2").config,
        "query_head_dim_normalize": False,
    }
    found = architecture_of("GemmaBackbone", config).more(config)
    assert found["query_pre_attn_scalar"] == config["hidden_dim"] // config["num_query_heads"]


def test_handles_are_fetched_with_keras_hubs_own_code(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def get_file(handle: str, name: str) -> str:
        asked.append((handle, name))
        if not (saved / name).is_file():
            raise FileNotFoundError(name)
        return str(saved / name)

    monkeypatch.setattr("keras_hub.src.utils.preset_utils.get_file", get_file)
    handle = "kaggle://keras/llama3/keras/llama3_tiny_en/2"
    located = locate(handle)
    assert (located.path, located.revision) == (saved, saved.name)
    assert {name for _, name in asked} >= set(open_checkpoint(saved).source_files)
    asked.clear()
    locate(handle, weights=False)
    assert not any(name.endswith(".h5") for _, name in asked)
    with pytest.raises(OptionError, match="a version is part of a handle"):
        locate(handle, "main")


def test_a_handle_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    get_file = lambda handle, name: str(tmp_path / name)  # noqa: E731
    monkeypatch.setattr("keras_hub.src.utils.preset_utils.get_file", get_file)
    with pytest.raises(CheckpointError, match="is exported by its id"):
        locate("hf://openai-community/gpt2")


def test_first_names_of_layers_and_variables_of_training(saved: Path, preset: Path) -> None:
    _rename("layers", "_layer_checkpoint_dependencies")(preset)
    with h5py.File(preset / WEIGHTS, "a") as file:
        file["optimizer/vars/0"] = np.zeros(3, np.float32)
    assert open_checkpoint(preset).tensors.keys() == open_checkpoint(saved).tensors.keys()


def test_a_handle_that_cannot_be_fetched_says_why() -> None:
    with pytest.raises(CheckpointError, match=r"config\.json cannot be fetched: Unexpected Kaggle preset"):
        locate("kaggle://keras/gpt2")


def test_a_handle_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub.src.utils.preset_utils", None)
    with pytest.raises(MissingExtraError, match="keras-hub"):
        locate("hf://keras/gpt2_base_en")
