"""GGUF files against transformers' own loading of them: configuration, every tensor to the bit, tokenizer.

Also files that are cut, damaged, or of types and architectures that are not read.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from typer.testing import CliRunner

from exporter.checkpoint import Checkpoint, Location, locate, open_checkpoint
from exporter.checkpoint.gguf_config import config_of
from exporter.checkpoint.gguf_file import GgufFile, read_gguf
from exporter.checkpoint.gguf_names import LAYOUTS
from exporter.cli import app
from exporter.errors import CheckpointError
from exporter.families import load_weights, read_spec
from exporter.inspection import inspect_checkpoint
from exporter.model import build_model
from exporter.tokenizer.sources import JsonSource, read_source
from tests.checkpoint.gguf_cases import CASES, Case, model_of, write
from tests.checkpoint.test_tf_checkpoints import logits_of
from tests.families.test_parity import assert_close

pytest.importorskip("transformers.integrations.gguf", reason="GGUF as transformers 5.24 reads it")
TEXTS = ("the thin <s> er\n", "  In 123 straße 日本 😀", "<extra_3>the</s>", "")


@dataclass(frozen=True)
class Written:
    """A file, and transformers' model of it."""

    path: Path
    reference: Any


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    made: dict[str, Written] = {}

    def get(name: str) -> Written:
        if name not in made:
            case, path = CASES[name], tmp_path_factory.mktemp(name) / f"{name}.gguf"
            model = model_of(case)
            write(case, path, model)
            auto = transformers.AutoModelForCausalLM
            if model.config.is_encoder_decoder:
                auto = transformers.AutoModelForSeq2SeqLM
            reference = auto.from_pretrained(
                path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
            )
            made[name] = Written(path, reference.eval())
        return made[name]

    return get


@pytest.fixture(scope="module")
def qwen2(written: Callable[[str], Written]) -> Path:
    return written("qwen2").path


@pytest.mark.parametrize("name", CASES)
def test_every_tensor_is_transformers_to_the_bit(written: Callable[[str], Written], name: str) -> None:
    file = written(name)
    checkpoint, expected = open_checkpoint(file.path), file.reference.state_dict()
    tied = {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert expected.keys() - tied <= checkpoint.tensors.keys() <= expected.keys()
    for key, tensor in checkpoint.tensors.items():
        ours = tensor.read()
        assert ours.shape == tensor.shape
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, expected[key].numpy(), err_msg=key)
    config = file.reference.config.to_dict()
    for extra in ("quantization_config", *(["num_key_value_heads"] if name in ("falcon", "t5") else [])):
        config.pop(extra, None)
    spec = read_spec(checkpoint.config)
    assert spec == read_spec(config)
    assert load_weights(spec, checkpoint, np.float32)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "t5"])
def test_logits(written: Callable[[str], Written], name: str) -> None:
    file, tokens, source = written(name), [1, 7, 90, 3, 2], [5, 9, 40, 2]
    checkpoint = open_checkpoint(file.path)
    spec = read_spec(checkpoint.config)
    ours = build_model(spec, load_weights(spec, checkpoint, np.float32))
    with torch.no_grad():
        if name == "t5":
            asked = {"input_ids": torch.tensor([source]), "decoder_input_ids": torch.tensor([tokens])}
        else:
            asked = {"input_ids": torch.tensor([tokens])}
        expected = file.reference(**asked).logits[0].numpy()
    assert_close(logits_of(ours, source if name == "t5" else None, tokens), expected)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "phi3", "gpt2", "t5"])
def test_tokenizer_and_chat_template(written: Callable[[str], Written], tmp_path: Path, name: str) -> None:
    file = written(name)
    checkpoint = open_checkpoint(file.path)
    source = read_source(checkpoint.path)
    assert isinstance(source, JsonSource)
    reference = transformers.AutoTokenizer.from_pretrained(file.path.parent, gguf_file=file.path.name)
    reference.save_pretrained(tmp_path)
    ours, theirs = (path / "tokenizer.json" for path in (checkpoint.path, tmp_path))
    assert json.loads(ours.read_text()) == json.loads(theirs.read_text())
    template = "chat_template.jinja"
    assert (checkpoint.path / template).read_text() == (tmp_path / template).read_text()
    for text in TEXTS:
        assert source.tokenizer.encode(text).ids == reference(text).input_ids
    expected = (reference.bos_token_id, reference.eos_token_id, reference.pad_token_id)
    assert (source.settings.bos, source.settings.eos, source.settings.pad) == expected


@pytest.mark.parametrize("kind", [kind.name for kind in gguf.GGML_QUANT_SIZES])
def test_quantised_types_are_undone_as_the_package_does(tmp_path: Path, kind: str) -> None:
    """Random blocks of every type: what the package undoes is read, the others are refused by name."""
    stored = gguf.GGMLQuantizationType[kind]
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
    blocks = np.random.default_rng(0).integers(0, 256, (3, 2 * block_bytes), np.uint8)
    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("token_embd.weight", blocks, raw_shape=blocks.shape, raw_dtype=stored)
    _finish(writer)
    try:
        with np.errstate(all="ignore"):
            expected = gguf.quants.dequantize(blocks, stored)
    except NotImplementedError:
        with pytest.raises(CheckpointError, match=rf"quantised type {kind}, which the gguf package does not"):
            read_gguf(path)
        return
    [tensor] = read_gguf(path).tensors.values()
    assert (tensor.dtype, tensor.kind, tensor.nbytes) == ("F32", kind, blocks.nbytes)
    with np.errstate(all="ignore"):
        read = tensor.read()
    assert read.shape == tensor.shape == (3, 2 * per_block)
    np.testing.assert_array_equal(read, expected.reshape(read.shape))


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_where_a_file_is_found(qwen2: Path, tmp_path: Path) -> None:
    assert locate(str(qwen2)) == Location(qwen2)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "m.gguf").write_bytes(qwen2.read_bytes())
    assert open_checkpoint(alone).tensors.keys() == open_checkpoint(qwen2).tensors.keys()
    (alone / "n.gguf").write_bytes(qwen2.read_bytes())
    with pytest.raises(CheckpointError, match=r"several GGUF files, m\.gguf, n\.gguf: name one, such as"):
        open_checkpoint(alone)
    (alone / "model.safetensors").write_bytes(b"")
    (alone / "config.json").write_text("{}")
    assert open_checkpoint(alone).path == alone
    for name in ("a/b:c.bin", "a/b/c:d.gguf", ":d.gguf"):
        with pytest.raises(CheckpointError, match="neither a directory nor a hub id"):
            locate(name)
    with pytest.raises(CheckpointError, match="must be the name of a file in the repository"):
        locate("a/b:../c.gguf")


def test_sources_notes_and_the_temporary_directory(qwen2: Path) -> None:
    checkpoint: Checkpoint | None = open_checkpoint(qwen2)
    assert checkpoint is not None
    assert (checkpoint.source, checkpoint.source_files) == (qwen2.parent, ["qwen2.gguf"])
    assert checkpoint.tensors
    assert checkpoint.notes[0] == "tensors are read as float32 from Q8_0 (15), F32 (11)"
    directory = checkpoint.path
    assert directory.is_dir()
    checkpoint = None
    assert not directory.exists()


def test_inspect_and_dry_run(qwen2: Path, tmp_path: Path) -> None:
    report = inspect_checkpoint(qwen2)
    assert report.supported, report.reason
    assert report.path == qwen2
    run = CliRunner().invoke(app, ["export", str(qwen2), str(tmp_path / "out"), "--dry-run", "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)[0]["model_type"] == "qwen2"


def test_metadata_that_transformers_does_not_read_are_named(tmp_path: Path) -> None:
    case, path = CASES["qwen2"], tmp_path / "a.gguf"
    write(case, path, model_of(case), **{"qwen2.rope.scaling.type": "yarn"})
    checkpoint = open_checkpoint(path)
    assert checkpoint.tensors
    assert "qwen2.rope.scaling.type" in checkpoint.notes[1]


def refused(metadata: Mapping[str, Any], *tensors: str) -> None:
    config_of(GgufFile(Path("a.gguf"), metadata, dict.fromkeys(tensors)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("qwen4", r"'qwen4' is not read from GGUF \(did you mean 'qwen3'\?\); those that are: bloom, falcon"),
        ("mamba", "'mamba' is not read from GGUF"),
        ("umt5", "'umt5' is not read from GGUF"),
        ("gpt-oss", "transformers maps no names to its experts"),
        ("t5encoder", "an encoder alone generates no text"),
        (7, "general.architecture=7 is no name"),
        (None, "general.architecture=None is no name"),
    ],
)
def test_architectures_that_are_refused(architecture: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        refused({"general.architecture": architecture})


def test_every_architecture_has_a_case() -> None:
    assert {case.arch for case in CASES.values()} | {"mistral"} == LAYOUTS.keys()


def test_a_tensor_of_a_layer_without_a_name_is_not_passed_over(tmp_path: Path) -> None:
    case, path = CASES["qwen2"], tmp_path / "a.gguf"
    model = model_of(case)
    writer = gguf.GGUFWriter(path, "qwen2")
    write_into(writer, case, model, {"blk.1.attn_sinks.weight": np.ones((4, 4), np.float32)})
    checkpoint = open_checkpoint(path)
    with pytest.raises(CheckpointError) as caught:
        load_weights(read_spec(checkpoint.config), checkpoint, np.float32)
    assert f"the tensors of {path} do not fit" in str(caught.value)
    assert "unused: model.layers.1.attn_sinks.weight [4, 4]" in str(caught.value)


def write_into(writer: Any, case: Case, model: Any, more: Mapping[str, Any]) -> None:
    from tests.checkpoint import gguf_cases

    for key, value in case.keys.items():
        gguf_cases._add(writer, f"{case.arch}.{key}", value)
    gguf_cases.tokenizer(writer, case)
    for name, array in (gguf_cases.tensors(case, model) | dict(more)).items():
        writer.add_tensor(name, np.ascontiguousarray(array))
    _finish(writer)


def test_every_truncation_is_found(qwen2: Path, tmp_path: Path) -> None:
    whole, file = qwen2.read_bytes(), tmp_path / "a.gguf"
    end = max(tensor.start + tensor.nbytes for tensor in read_gguf(qwen2).tensors.values())
    for size in [*range(4, 9000, 131), *range(9000, end, end // 20), end - 1]:
        file.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            read_gguf(file)


def test_damage_is_an_error_or_changes_no_shape(qwen2: Path, tmp_path: Path) -> None:
    """Bytes of the head at random, which may also be huge counts: an error at once, never another one's."""
    whole, file = qwen2.read_bytes(), tmp_path / "a.gguf"
    head = min(tensor.start for tensor in read_gguf(qwen2).tensors.values())
    rng = random.Random(0)
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(4, head)] = rng.choice((0, 1, 9, 127, 255, rng.randrange(256)))
        file.write_bytes(broken)
        try:
            found = read_gguf(file)
        except CheckpointError as error:
            assert str(file) in str(error)  # noqa: PT017
            continue
        assert all(tensor.read().shape == tensor.shape for tensor in found.tensors.values())


def packed(
    metadata: bytes = b"", count: int = 0, table: bytes = b"", tensors: int = 0, version: int = 3
) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, count) + metadata + table + b"\0" * 256


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def tensor(shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0, name: str = "a") -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(version=1), "is GGUF of version 1; 2 and 3 are read"),
        (packed(version=3 << 24), r"of version 50331648 \(a big-endian file\)"),
        (packed(text("a") + struct.pack("<IIQ", 9, 4, 1 << 60), 1), "it asks for 4611686018427387904 bytes"),
        (packed(text("a") + struct.pack("<IIQ", 9, 8, 1 << 60), 1), "it asks for 9223372036854775808 bytes"),
        (packed(struct.pack("<Q", 1 << 62), 1), "it asks for 4611686018427387904 bytes"),
        (packed(text("a") + struct.pack("<I", 77), 1), "unknown type 77"),
        (packed(text("a") + struct.pack("<IIQ", 9, 9, 1), 1), "array of the unknown type 9"),
        (packed(2 * (text("a") + struct.pack("<II", 4, 1)), 2), "a stands there twice"),
        (
            packed(text("split.count") + struct.pack("<IH", 2, 3), 1),
            "one of 3 parts.*llama-gguf-split --merge",
        ),
        (
            packed(text("general.alignment") + struct.pack("<II", 4, 0), 1),
            "general.alignment=0 is no alignment",
        ),
        (packed(table=tensor((4,) * 5), tensors=1), "has 5 dimensions"),
        (packed(table=tensor(()), tensors=1), "has 0 dimensions"),
        (packed(table=tensor((1 << 40,)), tensors=1), "ends at byte"),
        (packed(table=tensor((0,)), tensors=1), "has no whole blocks of F32"),
        (packed(table=tensor((33,), 8), tensors=1), "has no whole blocks of Q8_0"),
        (packed(table=tensor() + tensor(name="b"), tensors=2), "tensor 'b' begins in another one"),
        (packed(table=tensor() + tensor(offset=32), tensors=2), "tensor 'a' stands there twice"),
        (packed(table=tensor(kind=24), tensors=1), "quantised type I8, which the gguf package does not undo"),
        (packed(table=tensor(kind=999), tensors=1), "quantised type number 999"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"something", "is not a GGUF file"),
        (b"", "is empty"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "a.gguf")


def test_metadata_that_make_no_tokenizer(qwen2: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(qwen2)
    parts = json.loads((checkpoint.path / "gguf_tokenizer.json").read_text())
    parts["metadata"]["ggml.model"] = "bert"
    (tmp_path / "gguf_tokenizer.json").write_text(json.dumps(parts))
    with pytest.raises(CheckpointError, match=r"qwen2\.gguf: transformers makes no tokenizer.*'bert'"):
        read_source(tmp_path)
