"""Both targets: on a GPU nothing but the decode loop waits for the host, and answers are alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from exporter.choices import Target
from exporter.generation.calls import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.result import Generated
from exporter.generation.rows import RowOptions, default_rows, row_fields, with_extras
from exporter.generation.step import Prompt, StepModel
from exporter.generation.stop import StopAutomaton
from exporter.guides import Guide, compile_guide
from exporter.targets import compiled_for
from tests.generation.hlo import loops, parse, uncounted_loops
from tests.generation.toy import ToyModel, make_prompt, random_weights
from tests.model.toys import CONFIGS, random_model

# Wide enough that the candidates of beams are found block by block.
VOCAB, NEW = 300, 9
PROMPTS = [[3, 4, 5, 3, 4], [7], [11, 2, 33, 4], [9, 9]]
TOY = ToyModel(random_weights(VOCAB, scale=1.0))
ALL_ROW_OPTIONS = {
    "temperature": [0.0, 1.0, 0.7, 1.3],
    "top_k": [0, 50, 0, 9],
    "top_p": [1.0, 1.0, 0.8, 0.9],
    "min_p": [0.0, 0.0, 0.01, 0.0],
    "repetition_penalty": [1.0, 1.2, 1.0, 1.0],
    "frequency_penalty": [0.0, 0.0, 0.5, 0.3],
    "seed": [1, 2, 3, 4],
}
SAMPLED = {"do_sample": True, "seed": 5}
WARPED = {"top_h": 0.9, "top_k": 60, "typical_p": 0.95, "eta_cutoff": 1e-4, "epsilon_cutoff": 1e-5}
#: Ids of rows as ``generate_tokens`` takes them, tokens of answers as ``resume`` does, choices of guides.
IDS = {
    "stop_token_ids": [[3, -1], [-1, -1], [8, 9], [-1, -1]],
    "logit_bias_ids": [[5, -1], [6, 7], [-1, -1], [-1, -1]],
    "logit_bias_values": [[2.0, 0.0], [-3.0, 1.0], [0.0, 0.0], [0.0, 0.0]],
    "bad_token_ids": [[-1, -1], [11, 12], [-1, -1], [2, -1]],
}
PIECES = {"num_generated": [2, 0, 1, 1], "piece_tokens": [3, 5, 1, 2]}
FOLLOWED = {"guide": [0, -1, 1, 0]}
EOS, PIECE = 4, 5
TEXTS = [b"" if token in (0, EOS) else bytes([97 + token % 3]) for token in range(VOCAB)]


class Case(NamedTuple):
    """Options; and per-row options or none, with what a row takes beside them."""

    options: dict[str, Any]
    rows: dict[str, Any] | None = None


CASES = {
    "greedy": Case({}),
    "top-p": Case({**SAMPLED, "top_p": 0.9}),
    "all warpers": Case({**SAMPLED, **WARPED, "logprobs": 3, "scores": True, "num_return_sequences": 2}),
    "rows": Case({}, {}),
    "beams": Case({"num_beams": 4, "num_return_sequences": 4, "eos_token_id": (4, 40)}),
    "beam sampling": Case({**SAMPLED, "num_beams": 4, "top_p": 0.9}),
    "beam rows": Case({"num_beams": 4}, {}),
    "lookup": Case({"prompt_lookup_num_tokens": 3}),
    "stop strings": Case({"stop_strings": ("aab", "cc")}),
    "row ids": Case({"eos_token_id": (EOS,)}, IDS),
    "guided rows": Case({"eos_token_id": (EOS,)}, FOLLOWED),
    "guided beams": Case({"num_beams": 4, "eos_token_id": (EOS,)}, FOLLOWED),
    "pieces": Case({"stop_strings": ("aab", "cc"), "logprobs": 2}, {**IDS, **PIECES}),
    "guided pieces": Case({"eos_token_id": (EOS,)}, {**IDS, **PIECES, **FOLLOWED}),
}
#: Those of the full tier alone, beside what takes long.
FURTHER = ("row ids", "guided rows", "guided beams", "pieces")


def cases(*slow: str) -> list[Any]:
    """Every case; those that take long for the full tier."""
    return [pytest.param(name, marks=[pytest.mark.full] if name in slow else []) for name in CASES]


def rows_of(options: GenerationOptions, more: dict[str, Any] | None) -> RowOptions:
    rows = default_rows(options, len(PROMPTS))
    if more is None:
        return rows
    fields = row_fields(extras=True, pieces=True, guides=True)
    values = {
        name: tf.constant(values, fields[name].dtype) for name, values in {**ALL_ROW_OPTIONS, **more}.items()
    }
    return (with_extras(rows, 2) if IDS.keys() <= more.keys() else rows)._replace(**values)


@functools.cache
def guides() -> Guides:
    followed = Guide("regex", "(ab|ba)*c?"), Guide("choice", ("abc", "cab", "b"))
    return Guides([compile_guide(guide, TEXTS, [EOS], [0]) for guide in followed])


def program(model: StepModel, name: str, target: Target) -> tuple[Callable[..., Generated], Any]:
    """A case's compiled function, and its arguments."""
    values, more = CASES[name]
    options = GenerationOptions(max_new_tokens=NEW, pad_token_id=0, **values)
    rows = rows_of(options, more)
    further: dict[str, Any] = {
        "stop": StopAutomaton(options.stop_strings, TEXTS) if options.stop_strings else None,
        "guides": None if rows.guide is None else guides(),
        "piece": 0 if rows.num_generated is None else PIECE,
    }

    def call(prompt: Prompt, rows: RowOptions) -> Generated:
        with compiled_for(target):
            return generate(model, prompt, options, rows, row_options=more is not None, **further)

    compiled = tf.function(call, jit_compile=True, autograph=False)
    return compiled, (make_prompt(PROMPTS, 8), rows)


@functools.cache
def transformer() -> Any:
    return random_model({**CONFIGS["learned positions"], "vocab_size": VOCAB, "n_layer": 1})


@pytest.mark.parametrize("name", cases("all warpers", "beam rows", *FURTHER))
def test_on_the_gpu_target_only_the_decode_loop_is_uncounted(name: str) -> None:
    compiled, arguments = program(transformer() if name in ("greedy", "lookup") else TOY, name, "gpu")
    hlo = compiled.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")
    assert len(uncounted_loops(hlo)) == 1
    assert " conditional(" not in hlo


def test_the_cpu_target_is_seen_to_have_others() -> None:
    """Else the test above would look for nothing."""
    compiled, arguments = program(TOY, "rows", "cpu")
    hlo = compiled.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")
    assert len(uncounted_loops(hlo)) > 1
    assert " conditional(" in hlo


def test_loops_are_read_from_the_text() -> None:
    @tf.function(jit_compile=True, autograph=False)
    def program(x: tf.Tensor) -> Any:
        counted = tf.while_loop(lambda i, _: i < 5, lambda i, x: (i + 1, tf.sin(x)), (0, x))[1]
        return tf.while_loop(lambda i, x: (i < 9) & (x[0] < 2), lambda i, x: (i + 1, x * 1.5), (0, counted))

    hlo = program.experimental_get_compiler_ir(tf.ones([4]))(stage="optimized_hlo")
    assert len(loops(parse(hlo))) == 2
    assert len(uncounted_loops(hlo)) == 1


@pytest.mark.parametrize(
    "name",
    cases(*("all warpers", "beam rows", "beam sampling", "top-p", "stop strings", "guided pieces"), *FURTHER),
)
def test_a_step_model_is_answered_alike(name: str) -> None:
    """The toy computes the same on both targets: what is generated from its logits must be equal."""
    answers = []
    for target in ("cpu", "gpu"):
        compiled, arguments = program(TOY, name, target)
        answers.append(compiled(*arguments))
    for cpu, gpu in zip(*map(tf.nest.flatten, answers), strict=True):
        if cpu is not None and cpu.dtype.is_floating:
            np.testing.assert_allclose(cpu, gpu, rtol=1e-6, atol=1e-6)
        elif cpu is not None:
            np.testing.assert_array_equal(cpu, gpu)


def test_a_whole_model_is_answered_alike_within_margins() -> None:
    """One prompt, for which the cpu target cuts products in parts; one model, so that traces could mix."""
    options = GenerationOptions(max_new_tokens=20, logprobs=2)
    model, prompt, answers, ops = transformer(), make_prompt(PROMPTS[:1]), [], []
    for target in ("cpu", "gpu"):

        def call(prompt: Prompt, target: Target = target) -> Generated:
            with compiled_for(target):
                return generate(model, prompt, options, default_rows(options, 1), row_options=False)

        compiled = tf.function(call, jit_compile=True, autograph=False)
        library = compiled.get_concrete_function(prompt).graph.as_graph_def().library.function
        ops.append({node.op for function in library for node in function.node_def})
        answers.append(compiled(prompt))
    assert "StatelessIf" in ops[0]
    assert not {"If", "StatelessIf"} & ops[1]
    cpu, gpu = answers
    differs = np.flatnonzero(cpu.sequences[0, 0] != gpu.sequences[0, 0])
    until = differs[0] if len(differs) else options.max_new_tokens
    np.testing.assert_allclose(cpu.logprobs[0, 0, :until], gpu.logprobs[0, 0, :until], atol=1e-4)
    if len(differs):
        best, second = cpu.top_logprobs[0, 0, until]
        assert best - second < 1e-4
