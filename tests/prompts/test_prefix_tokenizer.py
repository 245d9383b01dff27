"""A prefix in front of left-padded prompts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from exporter.errors import OptionError
from exporter.generation.step import Prompt
from exporter.prompts.prefix import Prefix, check_prefix
from exporter.prompts.prefix_tokenizer import with_prefix
from tests.model.toys import prompt_of


def test_the_prefix_stands_right_before_each_rows_own_tokens() -> None:
    whole = with_prefix([7, 8, 9], prompt_of([[1], [1, 2, 3], [4, 5]], 4))
    assert whole.lengths.numpy().tolist() == [4, 6, 5]
    rows = [row[-length:] for row, length in zip(whole.tokens.numpy().tolist(), [4, 6, 5], strict=True)]
    assert rows == [[7, 8, 9, 1], [7, 8, 9, 1, 2, 3], [7, 8, 9, 4, 5]]
    assert whole.tokens.shape == (3, 7)


def test_without_a_prefix_the_prompt_stays_the_same_tensors() -> None:
    prompt = Prompt(tf.zeros([1, 2], tf.int32), tf.ones([1], tf.int32))
    assert with_prefix([], prompt) is prompt


def test_a_prefix_with_a_token_past_the_model_is_refused() -> None:
    prefix = Prefix(text="x", tokens=(5, 320), anchor="", rest="", skip=0, rest_tokens=0)
    spec: Any = SimpleNamespace(vocab_size=320)
    generation: Any = SimpleNamespace(max_length=None, max_new_tokens=4)
    with pytest.raises(OptionError, match="token 320 is not in the model's vocabulary; allowed: 0 to 319"):
        check_prefix(prefix, spec, 8, generation)
