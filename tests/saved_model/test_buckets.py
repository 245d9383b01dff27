"""Which shapes an export compiles."""

from __future__ import annotations

import pytest

from exporter.errors import OptionError
from exporter.options import make_options
from exporter.saved_model.buckets import resolve_buckets


@pytest.mark.parametrize(
    ("values", "context", "new", "expected"),
    [
        ({}, 256, 64, (32, 128, 192)),
        ({}, 96, 64, (32,)),
        ({}, 4096, 64, (32, 128, 512, 1024)),
        ({}, None, 64, (32, 128, 512, 1024)),
        ({"prompt_lengths": [7, 9]}, 64, 8, (7, 9)),
        ({"pad_to_multiple_of": 8, "max_prompt_length": 20}, 64, 8, (8, 16, 20)),
        ({"pad_to_multiple_of": 16}, 64, 32, (16, 32)),
        ({"max_prompt_length": 40}, 64, 8, (32, 40)),
    ],
)
def test_lengths(values: dict[str, object], context: int | None, new: int, expected: tuple[int, ...]) -> None:
    options = make_options({"model": "m", **values})
    buckets = resolve_buckets(options, context_length=context, max_new_tokens=new)
    assert buckets.prompt_lengths == expected
    assert buckets.batch_sizes == (1, 8)


def test_prompt_and_new_tokens_must_fit_the_context() -> None:
    options = make_options({"model": "m", "prompt_lengths": [57]})
    with pytest.raises(OptionError, match="allowed: prompts up to 56"):
        resolve_buckets(options, context_length=64, max_new_tokens=8)
    with pytest.raises(OptionError, match="allowed: 1 to 63"):
        resolve_buckets(options, context_length=64, max_new_tokens=64)


def test_a_prefix_takes_its_place_in_the_context() -> None:
    options = make_options({"model": "m"})
    buckets = resolve_buckets(options, context_length=256, max_new_tokens=64, prefix_length=100)
    assert buckets.prompt_lengths == (32, 92)
    options = make_options({"model": "m", "prompt_lengths": [57]})
    with pytest.raises(OptionError, match="64 tokens with a prefix of 10; allowed: prompts up to 46"):
        resolve_buckets(options, context_length=64, max_new_tokens=8, prefix_length=10)
    with pytest.raises(OptionError, match="64 tokens with a prefix of 10; allowed: 1 to 53"):
        resolve_buckets(options, context_length=64, max_new_tokens=54, prefix_length=10)
