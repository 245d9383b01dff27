"""The optimised program: no loop copies a cache, and none sorts the vocabulary."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tensorflow as tf

from exporter.generation.calls import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from tests.generation.test_models import CONFIGS, VOCAB, ours  # noqa: F401
from tests.generation.toy import make_prompt

pytestmark = pytest.mark.parity

# Unlike any other size in the program: tokens generated, rows.
NEW, ROWS = 53, 7
HEADS = 3 * ROWS


def computations(program: str) -> dict[str, list[str]]:
    """The instructions of each computation of an HLO text, by the computation's first line."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in program.splitlines():
        if line.endswith("{") and not line.startswith(" "):
            name = line
        found.setdefault(name, []).append(line)
    return found


def compiled_program(model: Any, options: GenerationOptions, row_options: bool) -> str:
    call = tf.function(
        lambda prompt, rows: generate(model, prompt, options, rows, row_options=row_options), jit_compile=True
    )
    prompt = make_prompt([[3, 4, 5]] * ROWS, 9)
    text = call.experimental_get_compiler_ir(prompt, default_rows(options, ROWS))(stage="optimized_hlo")
    return str(text)


@pytest.mark.parametrize(
    ("options", "row_options"),
    [
        ({}, True),
        ({"prompt_lookup_num_tokens": 3}, False),
        pytest.param(
            {"do_sample": True, "top_p": 0.9, "no_repeat_ngram_size": 2}, False, marks=pytest.mark.full
        ),
    ],
    ids=str,
)
def test_no_copy_of_a_cache_and_no_sort_in_a_loop(
    ours: Any,  # noqa: F811
    options: dict[str, Any],
    row_options: bool,
) -> None:
    program = compiled_program(ours("gpt2"), GenerationOptions(max_new_tokens=NEW, **options), row_options)
    capacity = NEW + options.get("prompt_lookup_num_tokens", -1) + 1
    head_dim = CONFIGS["gpt2"][2]["n_embd"] // CONFIGS["gpt2"][2]["n_head"]
    cache = f"f32[{HEADS},{capacity},{head_dim}]"
    assert cache in program, "the cache has another shape: this test looks for the wrong one"
    copies = {
        name: [line for line in lines if re.search(re.escape(cache) + r"\S* copy\(", line)]
        for name, lines in computations(program).items()
        # Before the loop each segment is filled with zeros, which XLA writes once and copies.
        if not name.startswith("ENTRY")
    }
    assert not any(copies.values()), copies
    assert not re.search(rf"\S*{VOCAB}\S* sort\(", program)
    assert "TopK" not in program
