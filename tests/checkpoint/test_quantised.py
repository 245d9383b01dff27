"""Quantised weights read as the methods' own libraries dequantise them; what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import pytest
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.entrypoints.convert import AutoAWQConverter
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import load_file, save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

from exporter.checkpoint import Checkpoint, open_checkpoint
from exporter.checkpoint.quantised import METHODS, problem
from exporter.errors import CheckpointError, UnsupportedError
from exporter.families import FAMILIES, read_spec
from exporter.families.load import check

Stored = dict[str, torch.Tensor]


def checkpoint_of(path: Path, stored: Stored, config: dict[str, Any]) -> Checkpoint:
    """A checkpoint of tensors that no model has."""
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": config}))
    return open_checkpoint(path)


def weight_of(path: Path, stored: Stored, config: dict[str, Any]) -> torch.Tensor:
    """What the module ``m`` reads as, whose parts are ``stored``; a tensor beside it is left alone."""
    prefixed = {f"m.{name}": tensor for name, tensor in stored.items()}
    tensors = checkpoint_of(path, {**prefixed, "n.bias": torch.ones(3)}, config).tensors
    assert set(tensors) == {"m.weight", "n.bias"}
    assert tensors["m.weight"].floating
    found = tensors["m.weight"].read()
    assert found.shape == tensors["m.weight"].shape
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(str(found.dtype), torch.float32)
    return torch.tensor(found.astype(np.float32)).to(dtype)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


# fp8


@pytest.mark.parametrize(
    ("grid", "block", "scales"),
    [
        ((2, 3), [16, 16], torch.float32),
        ((2, 3), [16, 16], torch.bfloat16),
        ((2, 3), [16, 16], torch.uint8),
        ((32, 3), [1, 16], torch.uint8),
        ((), None, torch.float32),
        ((1,), None, torch.float32),
        ((32, 1), None, torch.float32),
    ],
)
@pytest.mark.parametrize(
    ("method", "name"),
    [("fp8", "weight_scale_inv"), ("mxfp8", "weight_scale_inv"), ("fbgemm_fp8", "weight_scale")],
)
def test_fp8(
    tmp_path: Path,
    method: str,
    name: str,
    grid: tuple[int, ...],
    block: list[int] | None,
    scales: torch.dtype,
) -> None:
    torch.manual_seed(0)
    weight = (torch.randn(32, 48) * 100).to(torch.float8_e4m3fn)
    if scales == torch.uint8:
        scale = torch.randint(110, 140, grid, dtype=torch.uint8)
    else:
        scale = (torch.rand(grid) + 0.01).to(scales)
    expected = Fp8Dequantize(None)._dequantize_one(
        weight, scale.reshape(-1, 1) if scale.ndim < 2 else scale, output_dtype=torch.float32
    )
    config = {"quant_method": method, "weight_block_size": block}
    found = weight_of(tmp_path, {"weight": weight, name: scale, "input_scale": torch.ones(1)}, config)
    same(found, expected)


def test_fp8_blocks_at_the_edges(tmp_path: Path) -> None:
    """As the kernels read it: a block is of the size that config.json says, the last one cut off."""
    weight, scale = torch.ones(20, 24).to(torch.float8_e4m3fn), torch.arange(1, 5.0).reshape(2, 2)
    config = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    found = weight_of(tmp_path, {"weight": weight, "weight_scale_inv": scale}, config)
    same(found, scale.repeat_interleave(16, 0).repeat_interleave(16, 1)[:20, :24])


# GPTQ and AWQ


def packed_bits(values: Sequence[int], bits: int) -> list[int]:
    """Values one after the other, the lowest bit first, as words of 32 bits with a sign."""
    stream = "".join(format(value, f"0{bits}b")[::-1] for value in values)
    stream += "0" * (-len(stream) % 32)
    words = [int(stream[start : start + 32][::-1], 2) for start in range(0, len(stream), 32)]
    return [word - 2**32 * (word >= 2**31) for word in words]


def packed_rows(values: torch.Tensor, bits: int) -> torch.Tensor:
    return torch.tensor([packed_bits(row.tolist(), bits) for row in values], dtype=torch.int32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(
    ("version", "group", "ordered"), [("gptq", 16, False), ("gptq_v2", 16, True), ("gptq", -1, False)]
)
def test_gptq(tmp_path: Path, bits: int, version: str, group: int, ordered: bool) -> None:
    torch.manual_seed(bits)
    inputs, outputs = 64, 32
    groups = 1 if group == -1 else inputs // group
    values = torch.randint(0, 2**bits, (outputs, inputs))
    zeros = torch.randint(0, 2**bits, (groups, outputs))
    scales = (torch.rand(groups, outputs) + 0.1).half()
    index = torch.arange(inputs) // (inputs // groups)
    if ordered:
        index = index[torch.randperm(inputs)]
    stored_zeros = (zeros - int(version == "gptq")) % 2**bits
    stored = {
        "qweight": packed_rows(values, bits).T,
        "qzeros": packed_rows(stored_zeros, bits),
        "scales": scales,
        **({"g_idx": index.int()} if ordered or group != -1 else {}),
    }
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "checkpoint_format": version}
    expected = scales[index].T * (values - zeros[index].T).half()
    same(weight_of(tmp_path, stored, config), expected)


def awq_parts(group: int) -> Stored:
    torch.manual_seed(3)
    groups, order = 64 // group, [0, 2, 4, 6, 1, 3, 5, 7]

    def ordered(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(len(values), -1, 8)[:, :, order].reshape(values.shape)

    return {
        "qweight": packed_rows(ordered(torch.randint(0, 16, (64, 32))), 4),
        "qzeros": packed_rows(ordered(torch.randint(0, 16, (groups, 32))), 4),
        "scales": (torch.rand(groups, 32) + 0.1).half(),
    }


@pytest.mark.parametrize("group", [16, 64])
def test_awq(tmp_path: Path, group: int) -> None:
    parts = awq_parts(group)
    config = {"quant_method": "awq", "bits": 4, "group_size": -1 if group == 64 else group, "version": "GEMM"}
    values, zeros = AutoAWQConverter.reverse_awq_order(
        *AutoAWQConverter.unpack_awq(parts["qweight"], parts["qzeros"], 4), 4
    )
    of_rows = torch.arange(64) // group
    expected = ((values & 15) - (zeros & 15)[of_rows]) * parts["scales"][of_rows]
    same(weight_of(tmp_path, parts, config), expected.T)


# compressed-tensors


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("form", "scheme"),
    [
        *(
            ("pack-quantized", {"num_bits": bits, "strategy": "group", "group_size": 16, "symmetric": True})
            for bits in (2, 3, 4, 5, 8)
        ),
        ("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": False}),
        ("pack-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": False}),
        ("int-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": True}),
        ("int-quantized", {"num_bits": 8, "strategy": "tensor", "symmetric": True}),
        ("naive-quantized", {"num_bits": 8, "strategy": "group", "group_size": 32, "symmetric": False}),
        ("naive-quantized", {"num_bits": 4, "strategy": "channel", "symmetric": True}),
        ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "tensor"}),
        ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
        (
            "float-quantized",
            {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [16, 8]},
        ),
    ],
)
def test_compressed_tensors(tmp_path: Path, form: str, scheme: dict[str, Any], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, bits = torch.randn(40, 64, dtype=dtype), scheme["num_bits"]
    columns = {"group": 64 // scheme.get("group_size", 64), "block": 8}.get(scheme["strategy"], 1)
    rows = {"tensor": 1, "block": 3}.get(scheme["strategy"], 40)
    # A range that clamps a few values.
    scale = (torch.rand(rows, columns) + 1.5).to(dtype) / (448 if scheme.get("type") else 2 ** (bits - 1))
    module = {"weight": weight, "weight_scale": scale}
    if scheme.get("symmetric") is False:
        module["weight_zero_point"] = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (rows, columns)).to(
            torch.int8
        )
    args = QuantizationArgs(**scheme)
    library = BaseCompressor.get_value_from_registry(form)
    of_library = QuantizationScheme(targets=["Linear"], weights=args)
    stored = library.compress(module, of_library)
    expected = library.decompress(stored, of_library)["weight"]
    group = {"targets": ["Linear"], "weights": json.loads(args.model_dump_json())}
    config = {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}}
    same(weight_of(tmp_path, stored, config), expected)


def test_compressed_tensors_of_several_groups(tmp_path: Path) -> None:
    """A group that names a module comes before one of its class."""
    torch.manual_seed(0)
    stored, expected = {}, {}
    groups: dict[str, Any] = {}
    for name, bits, target in (("a.down_proj", 4, "Linear"), ("a.up_proj", 8, "re:.*up_proj")):
        args = QuantizationArgs(num_bits=bits, strategy="channel", symmetric=True)
        scheme = QuantizationScheme(targets=[target], weights=args)
        library = BaseCompressor.get_value_from_registry("pack-quantized")
        module = {"weight": torch.randn(8, 40), "weight_scale": torch.rand(8, 1) + 0.1}
        parts = library.compress(module, scheme)
        expected[f"{name}.weight"] = library.decompress(parts, scheme)["weight"]
        stored |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
        groups[target] = {"targets": [target], "weights": json.loads(args.model_dump_json())}
    config = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}
    tensors = checkpoint_of(tmp_path, stored, config).tensors
    assert set(tensors) == set(expected)
    for name, tensor in expected.items():
        same(torch.tensor(tensors[name].read()), tensor)


# bitsandbytes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_bitsandbytes_4bit(tmp_path: Path, kind: str, nested: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = torch.randn(48, 384, dtype=dtype)
    words, state = bitsandbytes.functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=nested, quant_type=kind
    )
    parts = {f"weight.{name}": tensor for name, tensor in state.as_dict(packed=True).items()}
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind}
    found = weight_of(tmp_path, {"weight": words, **parts}, config)
    same(found, bitsandbytes.functional.dequantize_4bit(words, state))


def test_bitsandbytes_blocks_go_across_rows(tmp_path: Path) -> None:
    """The library's kernel for CPUs (0.50) starts a block with every row; its quantisation does not."""
    torch.manual_seed(0)
    words, state = bitsandbytes.functional.quantize_4bit(torch.randn(9, 104), blocksize=64, quant_type="nf4")
    parts = {f"weight.{name}": tensor for name, tensor in state.as_dict(packed=True).items()}
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    found = weight_of(tmp_path, {"weight": words, **parts}, config)
    codes = torch.stack([words[:, 0] >> 4, words[:, 0] & 15], dim=1).flatten().long()
    same(found, (state.code[codes] * state.absmax.repeat_interleave(64)[: 9 * 104]).reshape(9, 104))


def test_bitsandbytes_8bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight, scales, _ = bitsandbytes.functional.int8_vectorwise_quant(torch.randn(24, 40).half())
    stored = {"weight": weight, "SCB": scales, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    found = weight_of(tmp_path, stored, {"quant_method": "bitsandbytes", "load_in_8bit": True})
    same(found, bitsandbytes.functional.int8_vectorwise_dequant(weight, scales))


# Whole models


def model(hidden: int = 32) -> Any:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=61,
            hidden_size=hidden,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            dtype="bfloat16",
        )
    )


def quantised_model(path: Path, config: dict[str, Any], quantise: Callable[[torch.Tensor], Stored]) -> Path:
    """A checkpoint of a whole model, of which the layers' matrices are quantised."""
    whole = model()
    whole.save_pretrained(path)
    tensors: Stored = {}
    for name, tensor in load_file(path / "model.safetensors").items():
        if "_proj" in name:
            parts = quantise(tensor)
            tensors |= {name.removesuffix("weight") + part: value for part, value in parts.items()}
        else:
            tensors[name] = tensor.to(torch.bfloat16)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        path / "model.safetensors",
        metadata={"format": "pt"},
    )
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": config}))
    return path


def weights_of(checkpoint: Checkpoint) -> Stored:
    """float32: every tensor that the model reads, by the reference's names, as the export reads them."""
    spec = read_spec(checkpoint.config)
    found = check(spec, FAMILIES[spec.model_type].names_for(spec), checkpoint)
    names = (part.name for part in found.parts)
    return {name: torch.tensor(found.tensors[name].read().astype(np.float32)) for name in names}


def fp8_of(tensor: torch.Tensor) -> Stored:
    scale = torch.rand(-(-tensor.shape[0] // 16), -(-tensor.shape[1] // 16)) / 100 + 0.001
    spread = scale.repeat_interleave(16, 0).repeat_interleave(16, 1)
    return {"weight": (tensor / spread).to(torch.float8_e4m3fn), "weight_scale_inv": scale}


FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [16, 16]}


def test_a_whole_model_equals_transformers(tmp_path: Path) -> None:
    path = quantised_model(tmp_path, FP8, fp8_of)
    reference = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    checkpoint = open_checkpoint(path)
    ours, state = weights_of(checkpoint), reference.state_dict()
    for name, tensor in ours.items():
        same(tensor.bfloat16(), state[name])
    assert "fp8: 14 weights are dequantised" in checkpoint.notes


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_models_that_transformers_quantised(tmp_path: Path, kind: str, bits: int) -> None:
    """GPT-2's layers have kernels [in, out], and are quantised as [out, in]."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 61, "n_embd": 64, "n_layer": 2, "n_head": 2}
    whole = model(64) if kind == "llama" else transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    whole.save_pretrained(tmp_path / "whole")
    config = {4: {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}, 8: {}}[bits]
    quantised = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "whole",
        quantization_config=transformers.BitsAndBytesConfig(**{f"load_in_{bits}bit": True}, **config),
        device_map="cpu",
        dtype=torch.bfloat16,
    )
    quantised.save_pretrained(tmp_path / "quantised")
    ours = weights_of(open_checkpoint(tmp_path / "quantised"))
    state = quantised.dequantize(dtype=torch.float32).state_dict()
    for name, tensor in ours.items():
        turned = kind == "gpt2" and ".h." in name and tensor.ndim == 2
        same(tensor.T if turned else tensor, state[name].float())


def test_a_packed_model_equals_transformers(tmp_path: Path) -> None:
    args = QuantizationArgs(num_bits=4, strategy="group", group_size=16, symmetric=True)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    library = BaseCompressor.get_value_from_registry("pack-quantized")

    def packed_of(tensor: torch.Tensor) -> Stored:
        scale = (tensor.reshape(len(tensor), -1, 16).abs().amax(-1) / 7).bfloat16()
        return dict(library.compress({"weight": tensor.bfloat16(), "weight_scale": scale}, scheme))

    group = {"targets": ["Linear"], "weights": json.loads(args.model_dump_json())}
    config = {**PACKED, "config_groups": {"group_0": group}, "ignore": ["lm_head"]}
    path = quantised_model(tmp_path, {**config, "quantization_status": "compressed"}, packed_of)
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        path,
        dtype=torch.bfloat16,
        quantization_config=transformers.CompressedTensorsConfig(dequantize=True),
    )
    state = reference.state_dict()
    for name, tensor in weights_of(open_checkpoint(path)).items():
        same(tensor.bfloat16(), state[name])


# What is wrong


def gptq_parts() -> Stored:
    return {
        "m.qweight": torch.zeros(8, 32, dtype=torch.int32),
        "m.qzeros": torch.zeros(4, 4, dtype=torch.int32),
        "m.scales": torch.ones(4, 32).half(),
        "m.g_idx": (torch.arange(64) // 16).int(),
    }


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 16}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 16}
PACKED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16},
        }
    },
}
BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True}


def packed_parts() -> Stored:
    return {
        "m.weight_packed": torch.zeros(8, 8, dtype=torch.int32),
        "m.weight_scale": torch.ones(8, 4),
        "m.weight_shape": torch.tensor([8, 64]),
    }


def bnb_parts() -> Stored:
    words, state = bitsandbytes.functional.quantize_4bit(torch.ones(8, 64), blocksize=64, quant_type="nf4")
    parts = {f"m.weight.{name}": tensor for name, tensor in state.as_dict(packed=True).items()}
    return {"m.weight": words, **parts}


def fp8_parts() -> Stored:
    return {f"m.{name}": tensor for name, tensor in fp8_of(torch.randn(32, 32)).items()}


WRONG: list[tuple[Callable[[], Stored], dict[str, Any], dict[str, torch.Tensor | None], str]] = [
    (gptq_parts, GPTQ, {"m.scales": None}, "m: has qweight, but no scales"),
    (gptq_parts, {**GPTQ, "bits": 8}, {}, "not of 8 bits in groups of 16"),
    (gptq_parts, {**GPTQ, "group_size": 32}, {}, "not of 4 bits in groups of 32"),
    (gptq_parts, GPTQ, {"m.qweight": torch.zeros(8, 32)}, "qweight must be I32 or U32"),
    (gptq_parts, GPTQ, {"m.g_idx": torch.zeros(63).int()}, "g_idx must name the groups of 64 inputs"),
    (gptq_parts, AWQ, {}, "not of 4 bits in groups of 16"),
    (gptq_parts, FP8, {}, "config.json says that weights are quantised, and none is"),
    (gptq_parts, BNB, {}, "config.json says that weights are quantised, and none is"),
    (gptq_parts, PACKED, {}, "config.json says that weights are quantised, and none is"),
    (fp8_parts, GPTQ, {}, "config.json says that weights are quantised, and none is"),
    (fp8_parts, FP8, {"m.weight": None}, "m: has weight_scale_inv, but no weight"),
    (fp8_parts, FP8, {"m.weight": torch.zeros(32, 32)}, "weight must be F8_E4M3 or F8_E5M2"),
    (fp8_parts, FP8, {"m.weight_scale_inv": torch.zeros(3, 2)}, "the scales do not divide the weight"),
    (packed_parts, PACKED, {"m.weight_shape": torch.tensor([8, 60])}, r"not those of 'group'"),
    (packed_parts, PACKED, {"m.weight_shape": torch.tensor([8, 99])}, r"not \[8, 99\] of 4 bits"),
    (packed_parts, PACKED, {"m.weight_scale": torch.ones(8, 3)}, "not those of 'group'"),
    (packed_parts, PACKED, {"m.weight_zero_point": torch.zeros(1, 4).int()}, "zero points do not fit"),
    (packed_parts, PACKED, {"m.weight_g_idx": torch.zeros(64).int()}, "weight_g_idx: groups in the order"),
    (bnb_parts, BNB, {"m.weight.absmax": torch.ones(7)}, r"do not make a weight of \[8, 64\]"),
    (bnb_parts, BNB, {"m.weight": torch.zeros(9, 1).byte()}, r"do not make a weight of \[8, 64\]"),
    (bnb_parts, BNB, {"m.weight.quant_map": None}, r"but no weight\.quant_map"),
    (
        bnb_parts,
        BNB,
        {"m.weight.quant_state.bitsandbytes__nf4": torch.zeros(9).byte()},
        "is no state of bitsandbytes",
    ),
    (bnb_parts, {"quant_method": "bitsandbytes", "load_in_8bit": True}, {}, "and none is"),
]


@pytest.mark.parametrize(("parts", "config", "changes", "named"), WRONG)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path,
    parts: Callable[[], Stored],
    config: dict[str, Any],
    changes: dict[str, torch.Tensor | None],
    named: str,
) -> None:
    changed = {**parts(), **changes}
    stored = {name: tensor for name, tensor in changed.items() if tensor is not None}
    checkpoint = checkpoint_of(tmp_path, stored, config)
    with pytest.raises(CheckpointError, match=named):
        _ = checkpoint.tensors


def test_groups_that_are_not_there(tmp_path: Path) -> None:
    stored = {**gptq_parts(), "m.g_idx": torch.full((64,), 4).int()}
    with pytest.raises(CheckpointError, match=r"m\.g_idx names groups that are not there"):
        checkpoint_of(tmp_path, stored, GPTQ).tensors["m.weight"].read()


@pytest.mark.parametrize(("parts", "config"), [(gptq_parts, GPTQ), (fp8_parts, FP8), (packed_parts, PACKED)])
def test_truncated_files(tmp_path: Path, parts: Callable[[], Stored], config: dict[str, Any]) -> None:
    checkpoint_of(tmp_path, parts(), config)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"model.safetensors is truncated or damaged"):
        _ = open_checkpoint(tmp_path).tensors


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"quant_method": "aqlm"}, "quantised with quant_method='aqlm', which is not read"),
        ({"quant_method": "hqq"}, "quant_method='hqq'"),
        ({"quant_method": "torchao"}, "quant_method='torchao'"),
        ({"quant_method": "nvfp4"}, "quant_method='nvfp4'"),
        ({**GPTQ, "bits": 5}, "bits=5 must be 2, 3, 4 or 8"),
        ({**GPTQ, "group_size": 0}, "group_size=0"),
        ({**GPTQ, "checkpoint_format": "marlin"}, "checkpoint_format='marlin'"),
        ({**GPTQ, "dynamic": {"+:.*": {"bits": 8}}}, "dynamic gives layers other settings"),
        ({**AWQ, "version": "gemv"}, "version='gemv' must be 'gemm'"),
        ({**AWQ, "zero_point": False}, "zero_point must be true"),
        ({**FP8, "weight_block_size": [16]}, r"weight_block_size=\[16\]"),
        ({**PACKED, "format": "nvfp4-pack-quantized"}, "format='nvfp4-pack-quantized' is not supported"),
        ({**PACKED, "sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config is not supported"),
        ({**PACKED, "quantization_status": "frozen"}, "quantization_status='frozen'"),
        ({**PACKED, "config_groups": {}}, "config_groups must say"),
        ({"quant_method": "bitsandbytes"}, "neither load_in_4bit nor load_in_8bit"),
    ],
)
def test_what_is_not_read_is_refused_by_name(config: dict[str, Any], named: str) -> None:
    base = model().config.to_dict()
    with pytest.raises(UnsupportedError, match=named):
        read_spec({**base, "quantization_config": config})


def test_every_method_that_transformers_knows_is_read_or_named() -> None:
    for name in transformers.quantizers.auto.AUTO_QUANTIZATION_CONFIG_MAPPING:
        assert name in METHODS or f"quant_method={name!r}" in str(problem({"quant_method": name})), name


def test_an_adapter_is_merged_into_the_numbers(tmp_path: Path) -> None:
    """QLoRA: the base's own library dequantises, PEFT's product is added."""
    kind: dict[str, Any] = {"blocksize": 32, "quant_type": "nf4", "compress_statistics": True}

    def nf4_of(tensor: torch.Tensor) -> Stored:
        words, state = bitsandbytes.functional.quantize_4bit(tensor.bfloat16(), **kind)
        return {
            "weight": words,
            **{f"weight.{name}": part for name, part in state.as_dict(packed=True).items()},
        }

    base = quantised_model(tmp_path / "base", BNB, nf4_of)
    module = "model.layers.1.mlp.up_proj"
    factors = {"lora_A": torch.randn(2, 32), "lora_B": torch.randn(64, 2)}
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file(
        {f"base_model.model.{module}.{name}.weight": tensor for name, tensor in factors.items()},
        adapter / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": r".*\.1\.mlp\.up_proj"}
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(base)}))
    found = weights_of(open_checkpoint(adapter))[f"{module}.weight"]
    words, state = bitsandbytes.functional.quantize_4bit(
        model().state_dict()[f"{module}.weight"].bfloat16(), **kind
    )
    weight = bitsandbytes.functional.dequantize_4bit(words, state).float()
    expected = weight + factors["lora_B"] @ factors["lora_A"] * 3
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
