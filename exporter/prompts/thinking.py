"""A model's thinking told from its answer, in the text that it wrote.

    <think>\n2 + 2\n</think>\n\n4   ->   2 + 2   and   4

As the chat templates that know of thinking do with earlier answers: what stands before the end marker was
thought, new lines around both parts go. An answer that ends before its marker was thinking all along.
"""

from __future__ import annotations

import re

import tensorflow as tf

from exporter.chat import Reasoning


def split_thinking(text: tf.Tensor, markers: Reasoning) -> tuple[tf.Tensor, tf.Tensor]:
    """string [...] -> what was thought, and the answer; a text that never began to think is all answer."""
    start, end = (re.escape(marker) for marker in markers.markers)
    # The prompt may have begun the thinking; some models write the marker all the same.
    before = rf"(?s)^(?:\s*{start})?" if markers.opened else rf"(?s)^\s*{start}"
    ended = tf.strings.regex_full_match(text, f"{before}.*{end}.*")
    begun = tf.strings.regex_full_match(text, f"{before}.*")

    def part(pattern: str) -> tf.Tensor:
        return tf.strings.regex_replace(text, pattern, r"\1", replace_global=False)

    thought = tf.where(ended, part(f"{before}(.*?){end}.*$"), part(f"{before}(.*)$"))
    answer = part(f"{before}.*?{end}(.*)$")
    thought = tf.where(begun, _bare(thought), "")
    return thought, tf.where(ended, _bare(answer, right=False), tf.where(begun, "", text))


def _bare(text: tf.Tensor, right: bool = True) -> tf.Tensor:
    """Without new lines before it, and behind it."""
    text = tf.strings.regex_replace(text, r"^\n+", "", replace_global=False)
    return tf.strings.regex_replace(text, r"\n+$", "", replace_global=False) if right else text
