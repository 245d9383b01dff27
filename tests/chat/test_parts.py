"""A template split into literals and fields gives what transformers renders for any text, or is refused."""

from __future__ import annotations

import sys

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from exporter.chat import ChatTemplate, Field, Strip, read_chat_template, split_template
from exporter.chat.parts import WHITE_SPACE
from exporter.errors import UnsupportedError
from tests.chat.conversations import HOSTILE, texts
from tests.chat.templates import PUBLISHED, STYLES, TOKENS, published
from tests.tokenizer.published import folder_of

USER, SYSTEM = Field("user"), Field("system")
TRIMMED = Field("user", (Strip("both"),))
SPLIT = [style for style in STYLES if style != "working"]


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, variables=TOKENS)


@pytest.mark.parametrize("name", [*SPLIT, *PUBLISHED])
def test_every_text_gives_the_references_prompt(name: str) -> None:
    if name in STYLES:
        theirs = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({}, "")), **TOKENS)
        theirs.chat_template, ours = STYLES[name], template(STYLES[name])
    else:
        theirs, found = published(name), read_chat_template(folder_of(name))
        assert found is not None
        ours = found
    parts, refused = split_template(ours), 0
    systems = [text for text in texts(70, seed=3) if text]
    for user, system in zip([*HOSTILE, *texts(40, seed=4)], systems, strict=False):
        for prompt, given in ((parts.without_system, {}), (parts.with_system, {"system": system})):
            messages = [{"role": r, "content": t} for r, t in [*given.items(), ("user", user)]]
            if prompt is None:
                assert parts.no_system
                with pytest.raises(Exception, match=parts.no_system.rpartition(": ")[2][:30]):
                    theirs.apply_chat_template(messages, tokenize=False)
            elif (text := prompt.filled({"user": user, **given})) is None:
                refused += 1
            else:
                assert text == theirs.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
    assert refused < 20


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a{{ messages[-1].content }}b", ("a", USER, "b")),
        ("{{ messages[-1].content | trim }}", (TRIMMED,)),
        ("{{ messages[-1].content.lstrip().rstrip() }}", (TRIMMED,)),
        ("{{ messages[-1].content.rstrip('\\n') }}", (Field("user", (Strip("right", "\n"),)),)),
        (
            "{{ messages[-1].content.strip('\\n').strip() }}",
            (Field("user", (Strip("both", "\n"), Strip("both"))),),
        ),
        ("{{ ('x ' + messages[-1].content) | trim }}!", ("x ", Field("user", (Strip("right"),)), "!")),
        ("{{ [messages[-1].content, '!'] | join('-') }}", (USER, "-!")),
        ("{% set x %}<{{ messages[-1].content }}>{% endset %}{{ x ~ x }}", ("<", USER, "><", USER, ">")),
        ("{% for m in messages %}{{ loop.index0 * 'no' ~ m.content }}{% endfor %}", (USER,)),
        ("{% if 'x' in messages[-1].content %}{% endif %}{{ messages[-1].content }}", (USER,)),
        ("{{ messages[-1].content if messages[-1].content | trim | length > 0 }}", (USER,)),
        ("{{ messages[-1].content }}{{ 'x' if messages[-1].content | count == 0 }}", (USER,)),
    ],
)
def test_fields(source: str, expected: tuple[str | Field, ...]) -> None:
    found = split_template(template("{% if messages | length == 1 %}" + source + "{% endif %}"))
    assert found.without_system.pieces == expected
    assert found.with_system is None
    assert found.no_system == "system: the chat template leaves the system text out"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ content }}{% if '</think>' in content %}!{% endif %}", "the user text contains '</think>'"),
        ("{{ content }}{{ '!' if content.startswith('/') }}", "the user text begins with '/'"),
        ("{{ content }}{{ '!' if content | trim == 'x' }}", "the user text, stripped is 'x'"),
        ("{{ content }}{{ content | length }}", "depend on a message's text by 'length'"),
        ("{{ content }}{{ content | wordcount }}", "'wordcount'"),
        ("{{ content }}{{ content | int }}", "'int'"),
        ("{{ content }}{{ content in 'abc' }}", "a comparison with another text"),
        ("{{ content }}{{ {'a': 'b'}[content] }}", "a look-up"),
        ("{{ content }}{{ {'a': 'b'}.get(content) }}", "a look-up"),
        ("{{ content }}{{ content < 'x' }}", "'__lt__'"),
        ("{{ content | upper }}", "'upper'"),
        ("{{ content.replace('a', 'b') }}", "'replace'"),
        ("{{ content }}{{ 'abc'.replace('b', content) }}", "a comparison with another text"),
        ("{{ content[:9] }}", "a cut at some character"),
        ("{{ content | first }}", "a loop over its characters"),
        ("{{ content | tojson }}", "'tojson'"),
        ("{{ messages }}", "written as a list"),
        ("{{ '%s' | format(content) }}", "'format'"),
        ("{{ '%s' % content }}", "'%'"),
        ("{{ '{}'.format(content) }}", "'format'"),
        ("{{ content | e }}", "'e'"),
        ("{{ strftime_now(content) }}", "'strftime_now'"),
        ("fixed", "leaves the user text out"),
        ("{{ raise_exception('never') }}", "refuses these messages: never"),
        ("{{ content }}{{ raise_exception('no /') if '/' in content }}", "the user text contains '/'"),
        (
            "{{ content }}" + "".join(f"{{{{ '{n}' if '{n}' in content }}}}" for n in range(12)),
            "where the user text contains|more than 256 ways",
        ),
    ],
)
def test_what_depends_on_the_text_is_refused_with_the_reason(source: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        split_template(template("{% set content = messages[-1].content %}" + source))


def test_a_text_that_must_not_be_empty() -> None:
    """Llama 2 strips system and user text together: white space alone would reach the template's words."""
    parts = split_template(template(STYLES["Llama 2"]))
    assert parts.with_system is not None
    assert parts.with_system.needed == (Field("user", (Strip("right"),)),)
    assert parts.with_system.filled({"system": "s", "user": " \n"}) is None
    assert parts.without_system.needed == ()
    optional = "{% if messages[-1].content %}[{{ messages[-1].content }}]{% else %}(none){% endif %}"
    assert split_template(template(optional)).without_system.needed == (USER,)


def test_texts_for_which_the_template_writes_something_else() -> None:
    """Qwen3.5 refuses a chat whose only user message is a tool's answer."""
    source = """{% set text = messages[-1].content | trim %}
        {%- if text.startswith('<t>') and text.endswith('</t>') %}{{ raise_exception('no query') }}{% endif %}
        {%- if '/x' in messages[-1].content %}{{ '!' }}{% endif %}
        {{- messages[-1].content }}"""
    with pytest.raises(UnsupportedError, match="writes something else where the user text"):
        split_template(template(source))
    prompt = split_template(template(source), may_refuse_rows=True).without_system
    assert prompt.pieces == (USER,)
    assert [[str(question) for question in group] for group in prompt.refused] == [
        ["the user text contains '/x'"],
        ["the user text, stripped begins with '<t>'", "the user text, stripped ends with '</t>'"],
    ]
    for text, filled in {
        "<t>a": "<t>a",
        "<t>a</t> ": None,
        "a/x": None,
        "y": "y",
    }.items():
        assert prompt.filled({"user": text}) == filled


def test_an_empty_system_text_is_no_question() -> None:
    parts = split_template(template(STYLES["Phi"]))
    assert parts.with_system is not None
    assert parts.with_system.needed == ()
    assert parts.with_system.pieces[:2] == ("<|system|>\n", SYSTEM)


@pytest.mark.parametrize(
    ("style", "variables", "markers", "state"),
    [
        ("ChatML", {}, None, None),
        ("Qwen3", {}, ("<think>", "</think>"), (False, False)),
        ("Qwen3", {"enable_thinking": False}, ("<think>", "</think>"), (False, True)),
        ("DeepSeek", {}, ("<think>", "</think>"), (True, False)),
        ("harmony", {}, ("<|channel|>analysis<|message|>", "<|end|>"), (False, False)),
    ],
)
def test_reasoning(
    style: str, variables: dict[str, bool], markers: tuple[str, str] | None, state: tuple[bool, bool] | None
) -> None:
    found = split_template(template(STYLES[style]), **variables).reasoning
    assert (found and found.markers) == markers
    assert (found and (found.opened, found.closed)) == state


def test_white_space_is_what_python_strips() -> None:
    assert set(WHITE_SPACE) == {c for c in map(chr, range(sys.maxunicode + 1)) if not c.strip()}


def test_what_a_template_reads() -> None:
    assert {"strftime_now", "reasoning_effort", "messages"} <= template(STYLES["harmony"]).reads
    assert "strftime_now" not in template(STYLES["Qwen3"]).reads
    assert "enable_thinking" in template(STYLES["Qwen3"]).reads
