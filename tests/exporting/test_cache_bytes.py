"""Planned keys, values and states are, to the byte, those that a search holds while it runs."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.exporting.memory import cache_bytes_per_row
from exporter.generation import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from tests.families.case import marked
from tests.model import test_state, toys
from tests.model.toys import prompt_of, random_model

#: Windows are shorter than the bucket, and than what is generated.
BUCKET, NEW = 9, 11
SEQ2SEQ: dict[str, dict[str, Any]] = {
    "T5": {
        "model_type": "t5",
        "vocab_size": toys.VOCAB,
        "d_model": 16,
        "d_kv": 6,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "relu",
    }
}
MODELS = {
    **toys.CONFIGS,
    **test_state.CONFIGS,
    **SEQ2SEQ,
    "borrowed": toys.BORROWED,
    "parts of the stream": toys.PARTS,
}
BEAMS, LOOKUP = {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}
SAMPLES = {"do_sample": True, "num_return_sequences": 2}
QUICK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("learned positions", {}),
    ("window", LOOKUP),
    ("alternating windows", BEAMS),
    ("latent", BEAMS),
    ("gated delta net", SAMPLES),
    ("T5", BEAMS),
    ("borrowed", {}),
)
CASES = [
    pytest.param(name, options, id=f"{name}, {options}", marks=marked((name, options) not in QUICK))
    for name in MODELS
    for options in ({}, BEAMS, SAMPLES, {"num_beams": 9}, *([] if name in test_state.CONFIGS else [LOOKUP]))
]


class _Found(Exception):  # noqa: N818
    """Ends a search with its cache."""


def held_bytes(name: str, options: GenerationOptions, dtype: npt.DTypeLike = "float32") -> int:
    """Of one prompt, when the search reads its first generated token."""
    model = random_model(MODELS[name], dtype)

    def found(tokens: tf.Tensor, cache: Any) -> Any:
        raise _Found(cache)

    model.extend = found  # type: ignore[method-assign]
    prompt = prompt_of([[3, 4, 5]], BUCKET)
    if name in SEQ2SEQ:
        tokens = tf.concat([prompt.tokens[:, -3:], prompt.tokens[:, :-3]], axis=1)
        prompt = Prompt(tf.constant([[0]]), tf.constant([1]), tokens, prompt.lengths)
    with pytest.raises(_Found) as caught:
        generate(model, prompt, options, default_rows(options, tf.constant(1)), row_options=False)
    (cache,) = caught.value.args
    memory = cache.memory.layers if cache.memory else ()
    parts = (cache.prompts, cache.state.keys, cache.state.values, cache.state.states, memory)
    tensors = [part for part in tf.nest.flatten(parts) if part is not None]
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_search_holds_what_is_planned(name: str, options: dict[str, Any]) -> None:
    chosen = GenerationOptions(max_new_tokens=NEW, pad_token_id=0, **options)
    spec = random_model(MODELS[name]).spec
    assert cache_bytes_per_row(spec, BUCKET, [chosen], "float32") == held_bytes(name, chosen)


@pytest.mark.parametrize("name", ["window", pytest.param("gated delta net", marks=pytest.mark.full)])
def test_half_precision_holds_what_is_planned(name: str) -> None:
    """Memories of states stay in float32."""
    chosen = GenerationOptions(max_new_tokens=NEW, pad_token_id=0)
    spec, half = random_model(MODELS[name]).spec, tf.bfloat16.as_numpy_dtype
    assert cache_bytes_per_row(spec, BUCKET, [chosen], "bfloat16") == held_bytes(name, chosen, half)
