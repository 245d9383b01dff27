"""A chat template for one user message and an optional system message, split into literals and fields.

    split_template(template, enable_thinking=False).without_system.pieces
    ("<|im_start|>user\\n", Field("user"), "<|im_end|>\\n<|im_start|>assistant\\n")

The split is proven: the template runs on texts that are not known (``unknown``), once for each answer to what
it asks of them. Then it is tried on texts that are hard on templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2

from exporter.chat import environment
from exporter.chat.following import Following
from exporter.chat.reasoning import Reasoning, find_reasoning
from exporter.chat.template import ChatTemplate
from exporter.chat.unknown import EMPTY, Field, Paths, Pieces, Question, Unknown, filled
from exporter.errors import UnsupportedError, shown

#: What ``str.strip`` takes away without an argument.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_USER, _SYSTEM = Field("user"), Field("system")
#: Texts that templates have been seen to treat in another way than others.
_HARD = (
    "", " ", "\n", "a", " a ", "\n\ta b\u3000\x85", "</think>", "<think>\nx\n</think>\n\ny", "x</think>",
    "<tool_response>x</tool_response>", "{{ user }}", "{% if %}", "\0", "%s {} {0}", "<&>\"'\\n", "True",
    "none", "user", "/no_think", "/think", "/system_override", "é\u200d👩", "\x1c", "a\r\nb\u2028", "[INST]",
)  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes:
      pieces: literals and fields, in order; no two literals follow each other, none is empty.
      needed: fields that must not be empty after their strips: the template writes something else then.
      refused: the same of texts for which every question of one of these groups is answered yes.
    """

    pieces: Pieces
    needed: tuple[Field, ...] = ()
    refused: tuple[tuple[Question, ...], ...] = ()

    def filled(self, texts: Mapping[str, str]) -> str | None:
        """The prompt of texts by field names; None where a needed one is empty, or the texts are refused."""
        if any(not field.of(texts[field.name]) for field in self.needed):
            return None
        if any(all(question.holds(texts) for question in group) for group in self.refused):
            return None
        return filled(self.pieces, texts)


@dataclass(frozen=True)
class ChatParts:
    """What the signature ``chat`` needs to know of a template.

    Attributes:
      without_system: the prompt of an empty system text; its field is "user".
      with_system: of another; its fields are "user" and "system". None: the template takes none.
      no_system: why there is no prompt with a system text: the row's error.
      reasoning: how the model's thinking is told from its answer; None where the template knows of none.
    """

    without_system: Prompt
    with_system: Prompt | None
    no_system: str
    reasoning: Reasoning | None


def split_template(
    template: ChatTemplate, /, *, may_refuse_rows: bool = False, **variables: Any
) -> ChatParts:
    """Splits a template; ``variables`` as for ``ChatTemplate.render``.

    Args:
      may_refuse_rows: prompts may have ``Prompt.refused``: what the graph then has to ask of each row.
        Without, a template that writes something else for some texts is refused as a whole.

    Raises:
      UnsupportedError: it refuses a user message alone, leaves its text out, or writes words that depend on
        the text in a way that literals and fields cannot reproduce; says how.
    """
    without = _prompt(template, (_USER,), variables, may_refuse_rows)
    try:
        with_system, why = _prompt(template, (_SYSTEM, _USER), variables, may_refuse_rows), ""
    except UnsupportedError as error:
        with_system, why = None, f"system: {error}"
    end = without.pieces[-1]
    generation = end if isinstance(end, str) else ""
    return ChatParts(without, with_system, why, find_reasoning(template.source, generation))


def _prompt(
    template: ChatTemplate, fields: tuple[Field, ...], variables: Mapping[str, Any], may_refuse_rows: bool
) -> Prompt:
    paths = Paths({Question(EMPTY, (_SYSTEM,)): False})  # an empty one is no system message
    prompt = _agreed(list(paths.each(lambda: _run(template, fields, variables))))
    if prompt.refused and not may_refuse_rows:
        when = " and ".join(map(str, prompt.refused[0]))
        raise UnsupportedError(f"the chat template writes something else where {when}")
    for field in fields:
        if not any(isinstance(piece, Field) and piece.name == field.name for piece in prompt.pieces):
            raise UnsupportedError(f"the chat template leaves the {field.name} text out")
    _try(template, prompt, fields, variables)
    return prompt


def _run(template: ChatTemplate, fields: tuple[Field, ...], variables: Mapping[str, Any]) -> Pieces | str:
    """One path: the pieces; the reason where the template raises an exception of its own."""
    data = {
        **variables,
        "messages": [{"role": field.name, "content": Unknown([field])} for field in fields],
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
    }
    try:
        return Unknown.lift(template.run(_unknowing(template.source), data)).pieces
    except UnsupportedError as error:
        if isinstance(error.__cause__, jinja2.TemplateError):
            return str(error)
        raise


@lru_cache(maxsize=16)
def _unknowing(source: str) -> jinja2.Template:
    return environment.compiled(Following(Unknown), source)


def _agreed(paths: list[tuple[dict[Question, bool], Pieces | str]]) -> Prompt:
    """What the first path says, of texts with no for every answer; and which texts get something else."""
    (_, usual), needed, groups = paths[0], dict[Field, None](), list[tuple[Question, ...]]()
    for answers, other in paths[1:]:
        yes = [question for question, answer in answers.items() if answer]
        empty = [question.pieces[0] for question in yes if question.asked == EMPTY]
        if other != usual and not empty:
            groups.append(tuple(yes))
        elif other != usual:
            needed |= dict.fromkeys(field for field in empty if isinstance(field, Field))
    if isinstance(usual, str):
        raise UnsupportedError(usual)
    return Prompt(usual, tuple(needed), tuple(group for group in groups if not _implied(group, groups)))


def _implied(group: tuple[Question, ...], groups: list[tuple[Question, ...]]) -> bool:
    """Whether another group refuses whatever this one does."""
    return any(set(other) < set(group) for other in groups)


def _try(
    template: ChatTemplate, prompt: Prompt, fields: tuple[Field, ...], variables: Mapping[str, Any]
) -> None:
    """Raises UnsupportedError where a text gives another prompt than the template does."""
    for place, text in enumerate(_HARD):
        texts = {"user": text, "system": _HARD[-place] or "s"}
        if (expected := prompt.filled(texts)) is None:
            continue
        messages = [{"role": field.name, "content": texts[field.name]} for field in fields]
        if template.render(messages, **variables) != expected:
            raise UnsupportedError(
                f"the chat template writes something else for the text {shown(text)}, which a graph does not "
                "reproduce"
            )
