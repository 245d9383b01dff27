"""How a model's thinking is told from its answer: by the markers that its chat template knows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jinja2 import nodes

from exporter.chat.environment import Sandbox


@dataclass(frozen=True)
class Reasoning:
    """The markers around a model's thinking, as they stand in its text.

    Attributes:
      start, end: before and after the thinking.
      answer: what follows ``end`` before the answer begins; "" for nothing.
      opened: the prompt ends inside the thinking already: the model writes no ``start``.
      closed: the prompt holds a thinking that has ended: the model writes its answer at once.
    """

    start: str
    end: str
    answer: str = ""
    opened: bool = False
    closed: bool = False

    @property
    def markers(self) -> tuple[str, str]:
        return self.start, self.end


#: Where a template holds both, its model thinks between the two; the first that fits counts.
_KNOWN = (
    Reasoning(
        "<|channel|>analysis<|message|>", "<|end|>", answer="<|start|>assistant<|channel|>final<|message|>"
    ),
    Reasoning("<|channel>thought\n", "<channel|>"),
    Reasoning("<think>", "</think>"),
    Reasoning("<seed:think>", "</seed:think>"),
    Reasoning("<thought>", "</thought>"),
    Reasoning("<|START_THINKING|>", "<|END_THINKING|>"),
    Reasoning("[THINK]", "[/THINK]"),
)


def find_reasoning(source: str, generation: str) -> Reasoning | None:
    """The markers of a template (Jinja) whose prompts end with ``generation``; None where it has none."""
    literals = _literals(source)
    for known in _KNOWN:
        # Templates that cut the thinking out of earlier answers may name its end alone.
        if known.end in literals and (known.start in literals or known.end.startswith("</")):
            start, end = generation.rfind(known.start), generation.rfind(known.end)
            return replace(known, opened=start > end, closed=0 <= start < end)
    return None


def _literals(source: str) -> str:
    """Every text that a template can write, apart."""
    tree = Sandbox().parse(source)
    data = [node.data for node in tree.find_all(nodes.TemplateData)]
    constants = [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]
    return "\0".join([*data, *constants])
