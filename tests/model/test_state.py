"""What layers carry beside keys and values: read in chunks or one by one, behind padding or a prefix."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.errors import UnsupportedError
from exporter.exporting.limits import check_resume, check_rollback
from exporter.exporting.memory import baked_bytes, state_bytes
from exporter.generation import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from exporter.manifest import Buckets
from exporter.model import Transformer, delta, mamba, mamba2, rg_lru, rwkv
from tests.model.toys import SIZES, VOCAB, prompt_of, random_model, stacked

HYBRID = {**SIZES, "num_hidden_layers": 3, "head_dim": 4}
MAMBA2 = {"mamba_n_heads": 8, "mamba_n_groups": 2, "mamba_d_state": 5, "mamba_d_ssm": 24}
CONFIGS: dict[str, dict[str, Any]] = {
    "short convolution": {
        "model_type": "lfm2",
        **HYBRID,
        "layer_types": ["conv", "full_attention", "conv"],
        "conv_L_cache": 4,
    },
    "gated delta net": {
        "model_type": "qwen3_5_text",
        **HYBRID,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 6,
        "linear_value_head_dim": 5,
        "partial_rotary_factor": 0.5,
    },
    "Mamba 2 beside attention": {"model_type": "falcon_h1", **HYBRID, **MAMBA2},
    "Mamba": {
        "model_type": "mamba",
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "state_size": 4,
    },
    "RG-LRU": {
        "model_type": "recurrent_gemma",
        **HYBRID,
        "block_types": ["recurrent", "attention"],
        "attention_window_size": 6,
    },
    "WKV": {
        "model_type": "rwkv",
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "attention_hidden_size": 12,
        "rescale_every": 1,
    },
}
IDS = np.random.default_rng(0).integers(3, VOCAB, 24).tolist()
Floats = npt.NDArray[np.float32]
every_mechanism = pytest.mark.parametrize("name", CONFIGS)
#: What takes a compilation: the mechanism with most in a chunk in the quick tier, the others in the full one.
compiled_mechanisms = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "gated delta net" else pytest.mark.full) for name in CONFIGS],
)


@pytest.fixture(autouse=True)
def chunks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (delta, mamba, mamba2, rg_lru, rwkv):
        monkeypatch.setattr(module, "CHUNK", 4)


def close(ours: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(ours), expected, atol=2e-5 * np.ptp(expected), rtol=0)


def one_by_one(model: Transformer, ids: list[int]) -> tuple[Floats, Any]:
    """float32 [ids, vocab]: what is predicted behind each token, by the recurrences alone; and the cache."""
    logits, cache = model.prefill(prompt_of([ids[:1]], 1), max_new_tokens=len(ids))
    found = [np.asarray(logits)]
    for token in ids[1:]:
        logits, cache = model.extend(tf.constant([[token]]), cache)
        found.append(np.asarray(logits[:, 0]))
    return np.concatenate(found), cache


@every_mechanism
def test_chunks_say_what_tokens_say_one_by_one(name: str) -> None:
    """Of one token, around one chunk's border and around the third's; alone and behind padding."""
    model, lengths = random_model(CONFIGS[name]), (1, 3, 4, 5, 11, 12, 13)
    expected, _ = one_by_one(model, IDS[:13])
    for bucket in (13, 18):
        logits, _ = model.prefill(
            prompt_of([IDS[:n] for n in lengths], bucket), max_new_tokens=1, logits="all"
        )
        for row, length in zip(np.asarray(logits), lengths, strict=True):
            close(row[bucket - length :], expected[:length])


@every_mechanism
def test_a_state_goes_on_where_the_prompt_ends(name: str) -> None:
    """One token, several at once across a chunk's border, and one more are as a longer prompt."""
    model = random_model(CONFIGS[name])
    rows = [IDS[:6], IDS[3:5]]
    _, cache = model.prefill(prompt_of(rows, 9), max_new_tokens=8)
    cache = cache.per_row(6)
    for tokens in ([[7], [8]], [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]], [[9], [9]]):
        logits, cache = model.extend(tf.constant(tokens), cache)
        rows = [[*row, *new] for row, new in zip(rows, tokens, strict=True)]
        for row, ids in zip(np.asarray(logits), rows, strict=True):
            expected, _ = model.prefill(prompt_of([ids], len(ids)), max_new_tokens=1, logits="all")
            close(row, expected[0, -len(tokens[0]) :])


@every_mechanism
def test_padding_leaves_no_trace_in_a_state(name: str) -> None:
    model = random_model(CONFIGS[name])
    states = [
        model.prefill(prompt_of([IDS[:5]], bucket), max_new_tokens=1)[1].state.states for bucket in (5, 19)
    ]
    for alone, padded in zip(*map(tf.nest.flatten, states), strict=True):
        np.testing.assert_allclose(padded, alone, atol=1e-6 * max(1.0, np.abs(alone).max()))


@every_mechanism
def test_rows_take_each_others_states_over(name: str) -> None:
    """Beams share generated keys and values, and each has a state of its own."""
    model = random_model(CONFIGS[name])
    _, cache = model.prefill(prompt_of([IDS[:5], IDS[5:7]], 6), max_new_tokens=4)
    cache = cache.expand(2)
    _, cache = model.extend(tf.constant([[1], [2], [3], [4]]), cache)
    logits, _ = model.extend(tf.constant([[5], [6], [7], [8]]), cache.reorder(tf.constant([1, 1, 3, 2])))
    texts = [[*IDS[:5], 2, 5], [*IDS[:5], 2, 6], [*IDS[5:7], 4, 7], [*IDS[5:7], 3, 8]]
    for row, ids in zip(np.asarray(logits), texts, strict=True):
        expected, _ = model.prefill(prompt_of([ids], len(ids)), max_new_tokens=1)
        close(row[0], expected[0])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=[] if (name, dtype) == ("Mamba", np.float32) else pytest.mark.full)
        for name in CONFIGS
        for dtype in (np.float32, ml_dtypes.bfloat16)
    ],
)
def test_a_loop_carries_what_unrolled_layers_carry(name: str, dtype: npt.DTypeLike) -> None:
    """Four patterns of layers as one loop: prompts behind padding, steps, rows that take others over."""
    config = _repeated(CONFIGS[name], 4)
    model = random_model(config, dtype)
    loop = stacked(model)
    assert max(run.count for run in loop.runs) >= 3
    found = []
    for each in (model, loop):
        first, cache = each.prefill(prompt_of([IDS[:9], IDS[9:11]], 10), max_new_tokens=9)
        every, _ = each.prefill(prompt_of([IDS[:9]], 9), max_new_tokens=1, logits="all")
        more, cache = each.extend(tf.constant([[1], [2], [5], [6]]), cache.expand(2))
        cache = cache.reorder(tf.constant([1, 0, 2, 2]))
        found.append([first, every, more, each.extend(tf.constant([[3]] * 4), cache)[0]])
    for ours, expected in zip(found[1], found[0], strict=True):
        np.testing.assert_array_equal(ours, expected) if dtype != np.float32 else close(ours, expected)


@pytest.mark.full
@every_mechanism
def test_a_prefix_is_baked_into_stacked_states(name: str) -> None:
    model = random_model(_repeated(CONFIGS[name], 3))
    found = []
    for each in (model, stacked(model)):
        each.bake_prefix(IDS[:3])
        prompt = prompt_of([IDS[:8], IDS[:4]], 9)
        first, cache = each.prefill(prompt, max_new_tokens=3)
        found.append((first, each.extend(tf.constant([[4], [1]]), cache)[0]))
    for ours, expected in zip(found[1], found[0], strict=True):
        close(ours, expected)


def _repeated(config: dict[str, Any], count: int) -> dict[str, Any]:
    """The config with its pattern of layers so many times."""
    types = config.get("layer_types")
    pattern = len(types[:2]) if types else len(config.get("block_types", [0]))
    repeated = {"layer_types": types[:2] * count} if types else {}
    return config | {"num_hidden_layers": pattern * count} | repeated


@compiled_mechanisms
@pytest.mark.parametrize("length", [1, pytest.param(6, marks=pytest.mark.full)])
def test_a_baked_prefix_is_what_every_state_starts_from(name: str, length: int) -> None:
    """Also one that is shorter than a convolution looks back."""
    plain, baked = random_model(CONFIGS[name]), random_model(CONFIGS[name])
    baked.bake_prefix(IDS[:length])
    prompt = prompt_of([IDS[: length + 1], IDS[: length + 7]], length + 9)
    found = []
    for model in (plain, baked):
        first, cache = model.prefill(prompt, max_new_tokens=3)
        following, _ = model.extend(tf.constant([[4], [1]]), cache)
        found.append((first, following))
    for expected, ours in zip(*found, strict=True):
        close(ours, expected)
    kept = {name: variable for name, variable in baked.prefix.items() if name != "last_state"}
    total = sum(variable.shape.num_elements() * variable.dtype.size for variable in kept.values())
    assert total == baked_bytes(baked.spec, length, "float32") - 4 * baked.spec.hidden_size


@pytest.mark.full
@every_mechanism
def test_beams_and_samples_compile_and_write_what_the_whole_prompt_makes(name: str) -> None:
    prefix = IDS[:3]
    plain, baked = random_model(CONFIGS[name]), random_model(CONFIGS[name])
    baked.bake_prefix(prefix)
    options = GenerationOptions(max_new_tokens=5, pad_token_id=0, eos_token_id=(1,), num_beams=3)
    rows = default_rows(options, tf.constant(2))

    def run(model: Transformer, prompt: Prompt) -> Any:
        program = tf.function(
            lambda prompt: generate(model, prompt, options, rows, row_options=False).sequences,
            jit_compile=True,
            autograph=False,
        )
        return program(prompt).numpy().tolist()

    prompt = prompt_of([[*prefix, 9], prefix + IDS[4:9]], 10)
    assert run(baked, prompt) == run(plain, prompt)


@compiled_mechanisms
def test_a_program_is_as_large_for_any_length(name: str) -> None:
    config = {key: value for key, value in CONFIGS[name].items() if key != "layer_types"}
    kinds = [kind for kind in CONFIGS[name].get("layer_types", []) if kind != "full_attention"][:1]
    model = random_model({**config, "num_hidden_layers": 1, **({"layer_types": kinds} if kinds else {})})

    @tf.function(jit_compile=True, autograph=False)
    def read(tokens: tf.Tensor) -> tf.Tensor:
        lengths = tf.fill([tf.shape(tokens)[0]], tf.shape(tokens)[1])
        return model.prefill(Prompt(tokens, lengths), max_new_tokens=2)[0]

    def instructions(length: int) -> int:
        compiled = read.experimental_get_compiler_ir(tf.ones([1, length], tf.int32))(stage="optimized_hlo")
        return len(re.findall(r"^\s+\S+ = ", compiled, re.MULTILINE))

    assert abs(instructions(96) - instructions(48)) <= 0.02 * instructions(48)


@every_mechanism
def test_bytes_are_those_of_the_tensors(name: str) -> None:
    model = random_model(CONFIGS[name])
    _, cache = model.prefill(prompt_of([IDS[:5]], 5), max_new_tokens=1)
    held = sum(part.shape.num_elements() * part.dtype.size for part in tf.nest.flatten(cache.state.states))
    assert state_bytes(model.spec, "float32") == held


def test_what_a_state_cannot_do_is_refused() -> None:
    model = random_model(CONFIGS["gated delta net"])
    _, cache = model.prefill(prompt_of([IDS[:5]], 5), max_new_tokens=3)
    with pytest.raises(ValueError, match="no token can be taken back"):
        cache.per_row(2).truncate(tf.constant([1]))
    plain, guesses = GenerationOptions(max_new_tokens=4), {"prompt_lookup_num_tokens": 3}
    check_rollback(model.spec, plain, {})
    with pytest.raises(
        UnsupportedError, match="signatures: fast: prompt_lookup_num_tokens=3: layers of qwen3_5_text"
    ):
        check_rollback(model.spec, plain, {"fast": GenerationOptions(max_new_tokens=4, **guesses)})


def test_an_answer_is_not_read_again_where_prompts_alone_limit_time_steps() -> None:
    config = {**CONFIGS["Mamba 2 beside attention"], "time_step_limit": [0.1, 0.5]}
    buckets = Buckets(prompt_lengths=[4], batch_sizes=[1])
    model, options = random_model(config), GenerationOptions(max_new_tokens=4)
    with pytest.raises(UnsupportedError, match=r"resume: the reference limits time steps of falcon_h1"):
        check_resume(model.spec, buckets, options, None)
