"""Adapters of PEFT: merged tensors equal PEFT's own, and what cannot be merged is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from exporter.checkpoint import Checkpoint, Location, open_checkpoint
from exporter.errors import CheckpointError, GenserveError, UnsupportedError
from exporter.exporting.plan import plan_export
from exporter.families import FAMILIES, read_spec
from exporter.families.load import check
from exporter.options import make_options

LLAMA = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "tie_word_embeddings": False,
}
GPT2 = {"vocab_size": 61, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
BASES: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)),
    "tied": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**{**LLAMA, "tie_word_embeddings": True})
    ),
    "qwen": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**LLAMA)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)),
    "t5": lambda: transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=61, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    ),
}
#: Base, and options of LoraConfig.
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "list": ("llama", {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 7}),
    "regex": ("llama", {"target_modules": r"model\.layers\.[02]\.mlp\.(up|down)_proj", "r": 3}),
    "all-linear": ("llama", {"target_modules": "all-linear", "r": 2, "use_rslora": True, "lora_alpha": 3}),
    "patterns": (
        "llama",
        {
            "target_modules": ["q_proj", "k_proj", "o_proj"],
            "rank_pattern": {"k_proj": 5, r"layers\.1\.self_attn\.q_proj": 6},
            "alpha_pattern": {"^model.layers.0.self_attn.o_proj": 1},
            "use_rslora": True,
        },
    ),
    "layers": (
        "llama",
        {
            "target_modules": ["q_proj", "gate_proj"],
            "layers_to_transform": [1],
            "layers_pattern": "layers",
            "exclude_modules": ["mlp.gate_proj"],
        },
    ),
    "embeddings": ("llama", {"target_modules": ["embed_tokens", "lm_head", "v_proj"], "r": 4}),
    "saved": (
        "llama",
        {"target_modules": ["v_proj"], "modules_to_save": ["embed_tokens", "norm", "lm_head"]},
    ),
    "tokens": ("llama", {"target_modules": ["v_proj"], "trainable_token_indices": [3, 60, 7]}),
    "dora": ("llama", {"target_modules": ["q_proj", "down_proj", "embed_tokens"], "use_dora": True, "r": 2}),
    "bias": ("qwen", {"target_modules": ["q_proj", "v_proj"], "lora_bias": True, "r": 2}),
    "all biases": ("qwen", {"target_modules": ["q_proj"], "bias": "all"}),
    "own biases": ("qwen", {"target_modules": ["q_proj"], "bias": "lora_only"}),
    "conv1d": ("gpt2", {"target_modules": ["c_attn", "mlp.c_proj"], "fan_in_fan_out": True, "r": 3}),
    "square conv1d": ("gpt2", {"target_modules": r".*\.attn\.c_proj", "r": 3}),
    "conv1d dora": ("gpt2", {"target_modules": ["c_attn"], "use_dora": True, "r": 3}),
    "encoder-decoder": ("t5", {"target_modules": ["q", "v", "wo"], "r": 2}),
    "eva": ("llama", {"target_modules": ["q_proj"], "init_lora_weights": "orthogonal", "r": 2}),
}


def make(path: Path, base: str, options: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    """A base and a trained adapter of it below ``path``; PEFT's model of both."""
    torch.manual_seed(1)
    model = BASES[base]().to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(path / "base")
    wrapped = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(path / "base", dtype=dtype)
        if base != "t5"
        else transformers.T5ForConditionalGeneration.from_pretrained(path / "base", dtype=dtype),
        peft.LoraConfig(**{"task_type": "SEQ_2_SEQ_LM" if base == "t5" else "CAUSAL_LM", **options}),
    )
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3 + 0.1)
    wrapped.eval().save_pretrained(path / "adapter")
    return wrapped


def tensors_of(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Every tensor that the model reads, by the reference's names, as the export reads them."""
    spec = read_spec(checkpoint.config)
    found = check(spec, FAMILIES[spec.model_type].names_for(spec), checkpoint)
    return {part.name: found.tensors[part.name].read() for part in found.parts}


def state(model: Any) -> dict[str, np.ndarray]:
    return {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", ADAPTERS)
def test_merged_tensors_equal_peft(tmp_path: Path, name: str) -> None:
    base, options = ADAPTERS[name]
    wrapped = make(tmp_path, base, options)
    checkpoint = open_checkpoint(tmp_path / "adapter")
    ours, expected = tensors_of(checkpoint), state(wrapped.merge_and_unload())
    before = tensors_of(open_checkpoint(tmp_path / "base"))
    changed = {key for key in ours if not np.array_equal(ours[key], before[key])}
    assert changed, "the adapter changes something"
    for key, tensor in ours.items():
        # A product of rank r in float32 depends on the order of its sums.
        np.testing.assert_allclose(tensor, expected[key], rtol=3e-6, atol=3e-7, err_msg=key)
        assert (key in changed) == (not np.array_equal(expected[key], before[key])), key
    assert any(line.startswith("merged: the ") for line in checkpoint.notes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(tmp_path: Path, dtype: torch.dtype) -> None:
    """As PEFT merges where base and result have that type."""
    wrapped = make(tmp_path, "llama", {"target_modules": ["q_proj", "up_proj"], "r": 4}, dtype)
    ours = tensors_of(open_checkpoint(tmp_path / "adapter"))
    expected = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=dtype),
        tmp_path / "adapter",
    ).merge_and_unload()
    del wrapped
    for key, tensor in expected.state_dict().items():
        rounded = torch.tensor(ours[key].astype(np.float32)).to(dtype)
        same = (rounded == tensor).float().mean()
        assert same > 0.995, key  # a sum that lies on the border between two values may fall on either side
        torch.testing.assert_close(rounded, tensor)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["v_proj", "embed_tokens"]},
        {"target_modules": ["v_proj", "lm_head"]},
        {"target_modules": ["v_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["v_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["v_proj"], "trainable_token_indices": [5, 2]},
    ],
)
def test_tied_tables_compute_what_the_adapters_model_does(tmp_path: Path, options: dict[str, Any]) -> None:
    """Merging with PEFT changes both of two tied tables; its model, which was trained, does not."""
    wrapped = make(tmp_path, "tied", {**options, "r": 2})
    ours = tensors_of(open_checkpoint(tmp_path / "adapter"))
    plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).eval()
    weights = {key: torch.tensor(value) for key, value in ours.items()}
    weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
    plain.load_state_dict(weights)
    ids = torch.tensor([[5, 2, 60, 0, 31]])
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, wrapped(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained")
    make(path, "llama", {"target_modules": ["q_proj", "v_proj"], "r": 4})
    return path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def opened(folder: Path) -> dict[str, np.ndarray]:
    base, adapter = folder / "base", folder / "adapter"
    return tensors_of(open_checkpoint(base, Location(adapter, asked=str(adapter))))


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def rename(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = folder / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3' is not supported"),
        ({"peft_type": "PREFIX_TUNING"}, "peft_type='PREFIX_TUNING'"),
        ({"init_lora_weights": "pissa_niter_4"}, "path_initial_model_for_weight_conversion"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora' is not supported"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights='loftq' is not supported"),
        ({"alora_invocation_tokens": [1]}, r"alora_invocation_tokens=\[1\] is not supported"),
        ({"target_parameters": ["experts.up"]}, "target_parameters"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"invented_in_2030": 3}, "invented_in_2030=3 is not supported"),
        ({"r": 0}, "r=0 must be an integer above 0"),
        ({"rank_pattern": {"(": 3}}, "rank_pattern=.* must map regular expressions"),
        ({"target_modules": None}, "target_modules=None must say"),
    ],
)
def test_what_is_not_merged_is_named(folder: Path, changes: dict[str, Any], named: str) -> None:
    edit(folder, **changes)
    with pytest.raises(UnsupportedError, match=named):
        opened(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"r": 5}, r"q_proj: lora_A \[4, 16\] and lora_B \[16, 4\] are not of rank 5"),
        ({"target_modules": ["q_proj"]}, "v_proj: the configuration gives it no LoRA"),
        ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, "o_proj: missing, though target_modules"),
        ({"use_dora": True}, "q_proj: missing: lora_magnitude_vector"),
    ],
)
def test_a_configuration_of_other_tensors(folder: Path, changes: dict[str, Any], named: str) -> None:
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=named):
        opened(folder)


def test_modules_that_the_model_does_not_have_are_not_missed(folder: Path) -> None:
    """Stored with it (heads that draft, towers), and named as target_modules name them."""
    before, file = opened(folder), folder / "base" / "model.safetensors"
    more = {"mtp.layers.0.self_attn.q_proj.weight": torch.ones(16, 16)}
    save_file({**load_file(file), **more}, file, {"format": "pt"})
    after = opened(folder)
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop(f"{Q}.lora_B.weight"), "q_proj: missing: one of lora_A and lora_B"),
        (lambda t: t.update({f"{Q}.lora_C.weight": torch.ones(2)}), "q_proj.lora_C.weight: the base has no"),
        (lambda t: t.update({"loose": torch.ones(2)}), r"loose F32\[2\] is no tensor of a LoRA adapter"),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 15)}),
            r"q_proj: a change of \[16, 15\], the base has \[16, 16\]",
        ),
        (
            lambda t: t.update(
                {
                    f"base_model.model.model.layers.7.self_attn.q_proj.lora_{k}.weight": torch.ones(s)
                    for k, s in (("A", (4, 16)), ("B", (16, 4)))
                }
            ),
            "model.layers.7.self_attn.q_proj.weight: the base has no such tensor",
        ),
        (
            lambda t: t.update({"base_model.model.lm_head.weight": torch.ones(62, 16)}),
            r"lm_head.weight: \[62, 16\], the base has \[61, 16\]; the table was resized",
        ),
    ],
)
def test_tensors_that_do_not_fit(folder: Path, change: Callable[[Any], None], named: str) -> None:
    rename(folder, change)
    with pytest.raises(CheckpointError, match=named):
        opened(folder)


def test_damaged_files(folder: Path) -> None:
    weights = folder / "adapter" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-5])
    with pytest.raises(CheckpointError, match=r"adapter_model.safetensors is truncated or damaged"):
        opened(folder)
    weights.write_bytes(b"\xff" * 8 + whole[8:])
    with pytest.raises(CheckpointError, match=r"adapter_model.safetensors is truncated or damaged"):
        opened(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors"):
        opened(folder)
    (folder / "adapter" / "adapter_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(CheckpointError, match=r"pickled weights only.*AutoPeftModelForCausalLM"):
        opened(folder)


def test_a_whole_model_is_no_adapter(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no adapter of PEFT: it has no adapter_config\.json"):
        open_checkpoint(folder / "base", Location(folder / "base"))


@pytest.mark.parametrize("base", [None, "", "/nowhere/at/all"])
def test_a_base_that_is_not_there(folder: Path, base: str | None) -> None:
    edit(folder, base_model_name_or_path=base)
    with pytest.raises(GenserveError, match=r"give (the base|it) as MODEL, and --adapter"):
        open_checkpoint(folder / "adapter")
    assert opened(folder), "the base was given"


def test_an_adapters_tokenizer_is_used(folder: Path) -> None:
    adapter = folder / "adapter"
    (folder / "base" / "tokenizer.json").write_text('{"of": "base"}')
    edit(folder, base_model_name_or_path=str(folder / "base"))
    assert open_checkpoint(adapter).path == folder / "base"
    (adapter / "tokenizer.json").write_text('{"of": "adapter"}')
    (adapter / "tokenizer_config.json").write_text("{}")
    checkpoint = open_checkpoint(adapter)
    assert (checkpoint.path / "tokenizer.json").read_text() == '{"of": "adapter"}'
    assert not (checkpoint.path / "adapter_config.json").exists()
    assert any(line.startswith("the tokenizer is the adapter's") for line in checkpoint.notes)
    assert set(tensors_of(checkpoint)) == set(tensors_of(open_checkpoint(folder / "base")))


def test_a_plan_names_the_servable_after_the_adapter(folder: Path) -> None:
    asked = {"model": str(folder / "base"), "adapter": str(folder / "adapter"), "tokenizer": "none"}
    plan = plan_export(make_options({**asked, "prompt_lengths": [8], "max_new_tokens": 4}), folder / "out")
    assert plan.servable == folder / "out" / "adapter"
    assert plan.checkpoint.adapter is not None
    assert plan.checkpoint.adapter.source == str(folder / "adapter")
    numbers = 3 * (2 * 4 * 16 + (16 + 8) * 4)
    assert plan.notes[0] == f"merged: the LoRA adapter {folder / 'adapter'} (6 modules; {numbers:,} numbers)"
    with pytest.raises(CheckpointError, match=r"is no adapter of PEFT: it has no adapter_config\.json"):
        plan_export(make_options({**asked, "adapter": str(folder / "base")}), folder / "out")
