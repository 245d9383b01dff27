"""Prompt templates: what is read, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.errors import OptionError
from exporter.options import make_options
from exporter.prompts.templates import Template, parse_template


@pytest.mark.parametrize(
    "text",
    ["Question: {question}\nAnswer:", "{a}{b}", "{{{a}}} }}{{ {a} {b}\n", "x {{a}} {b}", "é {a}東"],
)
def test_texts_are_put_in_as_str_format_does(text: str) -> None:
    template = Template(parse_template(text))
    texts = {name: f" <{name}> {{}} \n" for name in template.fields}
    assert template.prompt.filled(texts) == text.format(**texts)


def test_fields_are_stripped_on_request() -> None:
    template = Template(parse_template("{a:strip}|{a}|{b:lstrip}|{c:rstrip}"))
    assert template.fields == ("a", "b", "c")
    assert template.prompt.filled(dict.fromkeys("abc", " x\u3000")) == "x| x\u3000|x\u3000| x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no field", "has no field"),
        ("{a", r"signatures\.qa: expected '}' before end of string"),
        ("a}", "Single '}'"),
        ("{}", r"\{\} is no name of an input"),
        ("{a.b}", r"\{a\.b\} is no name"),
        ("{a[0]}", "is no name"),
        ("{a!r}", r"\{a!r\}; allowed: :strip, :lstrip, :rstrip"),
        ("{a:stripp}", r"\{a:stripp\}.*did you mean 'strip'"),
        (3, "3 must be a text"),
    ],
)
def test_other_texts_are_refused(text: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_template(text, "signatures.qa")


def test_a_template_is_given_once_and_needs_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="template excludes template_file"):
        make_options({"model": "m", "template": "{a}", "template_file": "f"})
    with pytest.raises(OptionError, match="template needs a tokenizer"):
        make_options({"model": "m", "template": "{a}", "tokenizer": "none"})
    with pytest.raises(OptionError, match=r"template_file: .*none\.txt cannot be read"):
        make_options({"model": "m", "template_file": tmp_path / "none.txt"}).template_text()
