"""A baked prefix against sending the whole text: reloaded exports of several families answer the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
import torch
import transformers
from rich.filesize import decimal
from typer.testing import CliRunner

from exporter.cli import app
from exporter.errors import OptionError, UnsupportedError
from exporter.exporting.pipeline import ExportResult, export
from exporter.manifest import Manifest
from exporter.options import ExportOptions, make_options
from exporter.verification import verify_version
from tests.end_to_end.test_command_line import genserve
from tests.reference import Reference, assert_same_greedy, random_gpt2, save_checkpoint

pytestmark = [pytest.mark.parity, pytest.mark.end_to_end]

PREFIX = "the quick brown fox, one, two, three. Où est-ce? it's\nthe lazy dog:"
LONGEST = 24
#: Every kind of beginning: nothing, the end of a word, white space, marks, digits, other scripts, specials.
CONTINUATIONS = [
    *(
        "",
        " ",
        "s",
        "'s",
        "  two",
        "\n",
        "\n\n\tand",
        "1",
        " 1 2 3",
        "\u0301",
        "東京",
        "안녕",
        "👍🏽",
        ".",
        "...",
        ":",
        "::",
    ),
    *(
        " the",
        " quick brown",
        "<|endoftext|>",
        "<|endoftext|> fox",
        " façade",
        "\x00",
        " it's 20",
        "ly Köln",
        " 5 10 20",
    ),
]
SIZES: dict[str, Any] = {"vocab_size": 320, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.3}
LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, **LLAMA, num_key_value_heads=2),
    "mistral": lambda: transformers.MistralConfig(**SIZES, **LLAMA, num_key_value_heads=2, sliding_window=9),
    "bloom": lambda: transformers.BloomConfig(**SIZES, hidden_size=32, n_layer=2, n_head=4),
    "mpt": lambda: transformers.MptConfig(**SIZES, d_model=32, n_layers=2, n_heads=4, max_seq_len=256),
}
PRESETS = {
    "beams": {"num_beams": 3},
    "sampling": {"do_sample": True, "seed": 11, "temperature": 1.5},
    "processors": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 4},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "stops": {"stop_strings": ["fox", "th"]},
}


def checkpoint(name: str, directory: Path) -> Path:
    if name == "gpt2":
        return random_gpt2(directory, n_positions=128)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[name]()).eval()
    return save_checkpoint(model, directory)


def options(path: Path, name: str, **changes: Any) -> ExportOptions:
    return make_options(
        {
            "model": str(path),
            "name": name,
            "max_new_tokens": 10,
            "batch_sizes": [1, 4],
            "warmup": "none",
            "outputs": ["prompt_tokens"],
            "extra_signatures": [],
            **changes,
        }
    )


class Pair(NamedTuple):
    """A checkpoint's export without a prefix, the one with it, and the signatures of both."""

    path: Path
    plain: ExportResult
    baked: ExportResult
    whole: Any
    behind: Any


@pytest.fixture(scope="module", params=["gpt2", "mistral", "llama", "bloom", "mpt"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, full: bool) -> Pair:
    if not full and request.param != "gpt2":
        pytest.skip("all families: in the full tier (tests/model has every mechanism)")
    base: Path = tmp_path_factory.mktemp(request.param)
    path = checkpoint(request.param, base / "checkpoint")
    presets = {name: preset for name, preset in PRESETS.items() if full or name in {"beams", "processors"}}
    more: dict[str, Any] = {
        "extra_signatures": ["generate", "score", "next_token"],
        "signatures": presets,
        "verify": "full" if full else "none",
    }
    plain = export(options(path, "plain", prompt_lengths=[80], **more), base)
    baked = export(options(path, "baked", prompt_lengths=[8, LONGEST], prefix_text=PREFIX, **more), base)
    return Pair(path, plain, baked, signatures(plain), signatures(baked))


def signatures(result: ExportResult) -> Any:
    return tf.saved_model.load(str(result.directory)).signatures


def same(got: npt.NDArray[Any], expected: npt.NDArray[Any], where: str) -> None:
    """Equal; numbers up to what the order of additions changes."""
    if np.issubdtype(expected.dtype, np.floating):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=where)
    else:
        np.testing.assert_array_equal(got, expected, where)


def test_answers_equal_those_to_the_whole_text(pair: Pair) -> None:
    for name in ("serving_default", *pair.plain.manifest.options["signatures"]):
        expected = pair.whole[name](text=tf.constant([PREFIX + text for text in CONTINUATIONS]))
        got = pair.behind[name](text=tf.constant(CONTINUATIONS))
        assert set(got) == set(expected)
        for output in expected:
            same(got[output].numpy(), expected[output].numpy(), f"{name}: {output}")
        assert not any(got["error"].numpy())


def test_sampling_with_options_per_row(pair: Pair) -> None:
    rows = len(CONTINUATIONS)
    inputs = {
        "max_new_tokens": tf.fill([rows], 10),
        "temperature": tf.fill([rows], 1.3),
        "top_k": tf.fill([rows], 0),
        "top_p": tf.fill([rows], 0.9),
        "min_p": tf.fill([rows], 0.0),
        "repetition_penalty": tf.fill([rows], 1.2),
        "presence_penalty": tf.fill([rows], 0.1),
        "frequency_penalty": tf.fill([rows], 0.1),
        "seed": tf.range(rows, dtype=tf.int64),
    }
    texts = tf.constant([PREFIX + text for text in CONTINUATIONS])
    expected = pair.whole["generate"](text=texts, **inputs)
    got = pair.behind["generate"](text=tf.constant(CONTINUATIONS), **inputs)
    assert got["generated_text"].numpy().tolist() == expected["generated_text"].numpy().tolist()


def test_score_and_next_token(pair: Pair) -> None:
    texts, continuation = CONTINUATIONS[:8], tf.constant([" the fox"] * 8)
    for name, more in (("score", {"continuation": continuation}), ("next_token", {})):
        expected = pair.whole[name](text=tf.constant([PREFIX + text for text in texts]), **more)
        got = pair.behind[name](text=tf.constant(texts), **more)
        for output, value in expected.items():
            same(got[output].numpy(), value.numpy(), f"{name}: {output}")


def test_greedy_ids_equal_the_reference_on_the_whole_text(pair: Pair) -> None:
    reference, behind = Reference(pair.path), pair.behind
    texts = CONTINUATIONS[:12]
    encoded = behind["encode"](text=tf.constant(texts))
    ids = tf.pad(encoded["input_ids"], [[0, 0], [0, LONGEST - encoded["input_ids"].shape[1]]])
    answer = behind["tokens"](input_ids=ids, num_tokens=encoded["num_tokens"])
    ours = [
        row[:count].tolist()
        for row, count in zip(answer["generated_ids"].numpy(), answer["num_tokens"].numpy(), strict=True)
    ]
    expected = [reference.greedy(reference.encode(PREFIX + text), 10) for text in texts]
    assert assert_same_greedy(ours, expected) <= 1
    whole = [len(reference.encode(PREFIX + text)) for text in texts]
    assert answer["prompt_tokens"].numpy().tolist() == whole


def test_the_manifest_and_verify_know_the_prefix(pair: Pair, full: bool) -> None:
    path, plain, baked = pair[:3]
    assert plain.manifest.prefix is None
    prefix = baked.manifest.prefix
    assert prefix is not None
    whole = len(Reference(path).encode(PREFIX))
    assert prefix.tokens + prefix.rest_tokens == whole
    assert PREFIX.endswith(prefix.rest)
    assert baked.manifest.memory.weights_bytes == plain.manifest.memory.weights_bytes + prefix.bytes
    assert baked.manifest.options["prefix_text"] == PREFIX
    if full:  # three texts; each preset, score and next_token once
        assert verify_version(baked.directory) == 3 + len(PRESETS) + 2


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_gpt2(tmp_path_factory.mktemp("gpt2") / "checkpoint", n_positions=128)


def test_overflow_cuts_the_requests_own_tokens_only(gpt2: Path, tmp_path: Path) -> None:
    """Truncation on the left leaves the prefix whole, its rest too: the oldest tokens behind it go."""
    (tmp_path / "prefix.txt").write_text(PREFIX, encoding="utf-8")
    result = export(
        options(
            gpt2,
            "left",
            prefix_file=tmp_path / "prefix.txt",
            prompt_lengths=[8],
            overflow="truncate_left",
            outputs=["prompt_tokens", "truncated"],
            echo=True,
            verify="none",
        ),
        tmp_path,
    )
    prefix = result.manifest.prefix
    assert prefix is not None
    assert prefix.rest_tokens == 1
    served = signatures(result)
    text = " one two three four five six seven eight nine"
    answer = served["serving_default"](text=tf.constant([text]))
    assert answer["truncated"].numpy().tolist() == [True]
    assert answer["prompt_tokens"].numpy().tolist() == [prefix.tokens + 8]
    ids = served["encode"](text=tf.constant([text]))["input_ids"].numpy()[0].tolist()
    kept = [*ids[:1], *ids[-7:]]
    by_ids = served["tokens"](input_ids=tf.constant([kept]), num_tokens=tf.constant([8]))
    decoded = served["decode"](
        input_ids=tf.pad(by_ids["generated_ids"], [[0, 0], [0, 8]]), num_tokens=by_ids["num_tokens"]
    )
    assert answer["generated_text"].numpy()[0] == (PREFIX + text).encode() + decoded["text"].numpy()[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prefix_text": "Hello"}, "no token of it is certain to stay the same"),
        ({"prefix_text": ""}, "prefix_text: '' is empty"),
        ({"prefix_file": "/nowhere/prefix.txt"}, "prefix_file: /nowhere/prefix.txt cannot be read"),
        ({"prefix_text": PREFIX, "prompt_lengths": [110]}, r"context of 128 tokens with a prefix of \d+"),
        ({"prefix_text": "a b\n\n\n\nc: d e", "prompt_lengths": [1, 8]}, "prompt_lengths: 1 leaves no room"),
        (
            {"prefix_text": PREFIX, "max_new_tokens": None, "generation": {"max_length": 10}},
            "max_length: 10 leaves no room behind the prefix",
        ),
    ],
)
def test_refusals(gpt2: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((OptionError, UnsupportedError), match=message):
        export(options(gpt2, "refused", **{"prompt_lengths": [8], **changes}), tmp_path)
    assert not list(tmp_path.glob("*/[0-9]*"))


def test_models_that_cannot_take_a_prefix(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="encoder-decoder model: its encoder reads a prompt in both"):
        export(make_options({"model": "demo:translate", "prefix_text": "one two three"}), tmp_path)
    with pytest.raises(OptionError, match="prefix_text needs a tokenizer"):
        make_options({"model": "m", "tokenizer": "none", "prefix_text": "one two"})
    with pytest.raises(OptionError, match="prefix_text excludes prefix_file"):
        make_options({"model": "m", "prefix_text": "one two", "prefix_file": "f"})


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_scalings_that_depend_on_the_whole_length(tmp_path: Path, kind: str) -> None:
    """Keys of the prefix would turn with what follows: refused where that can happen, served where not."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 64}
    parameters = {"factor": 2.0, **(factors if kind == "longrope" else {})}
    config = transformers.LlamaConfig(
        **SIZES,
        **LLAMA,
        max_position_embeddings=128 if kind == "longrope" else 64,
        rope_parameters={"rope_type": kind, "rope_theta": 10000.0, **parameters},
    )
    torch.manual_seed(1)
    path = save_checkpoint(transformers.AutoModelForCausalLM.from_config(config), tmp_path / "checkpoint")
    long = options(path, "long", prefix_text=PREFIX, prompt_lengths=[40])
    with pytest.raises(UnsupportedError, match=r"dynamic rope scaling|longrope changes its factors"):
        export(long, tmp_path)


def test_the_command_line_says_what_buckets_and_prefix_cost(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "prefix.txt").write_text("the quick brown fox:", encoding="utf-8")
    process = genserve(
        *("export", gpt2, tmp_path / "out", "--name", "m", "--prefix-file", tmp_path / "prefix.txt"),
        *("--max-new-tokens", 4, "--warmup", "none", "--extra-signatures", ""),
    )
    assert process.returncode == 0, process.stderr
    lines = dict(
        re.split(r"  +", line, maxsplit=1) for line in process.stdout.splitlines() if "  " in line[1:]
    )
    manifest = Manifest.read(tmp_path / "out" / "m" / "1")
    assert manifest.prefix is not None
    longest = 128 - 4 - manifest.prefix.tokens
    # Defaults: what fits the context behind the prefix; 2 lengths x 2 batch sizes.
    assert lines["buckets"].strip() == f"prompt lengths [32, {longest}] x batch sizes [1, 8]"
    assert lines["compilations"].strip() == "4: 4 of tokens"
    # 2 layers x keys and values x 32 features of 4 bytes for every token of a row.
    assert manifest.memory.cache_bytes_per_row == 2 * 2 * 32 * 4 * (longest + 4)
    assert lines["keys and values"].startswith(decimal(manifest.memory.cache_bytes_per_row))
    assert lines["prefix"].startswith(f"{manifest.prefix.tokens} tokens baked")
    assert lines["prefix"].strip().endswith(repr(manifest.prefix.rest))
    verified = genserve("verify", tmp_path / "out" / "m" / "1")
    assert f"{manifest.prefix.tokens} baked tokens" in verified.stdout
    inspect = ["inspect", str(gpt2), "--prefix-text", "the quick brown fox:"]
    inspected = CliRunner(env={"COLUMNS": "200"}).invoke(app, inspect)
    assert f"prefix: {manifest.prefix.tokens} tokens can be baked" in inspected.stdout
    refused = genserve("inspect", gpt2, "--prefix-text", "the")
    assert refused.returncode == UnsupportedError.exit_code
