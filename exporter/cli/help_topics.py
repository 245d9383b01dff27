"""``genserve help``: sections of the documentation in the terminal, and the help of verbs.

The texts are the pages of docs/, which the wheel holds as exporter/docs (pyproject.toml names them).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from exporter.errors import OptionError, did_you_mean


@dataclass(frozen=True)
class Topic:
    """Attributes:
    summary: what the list of topics says.
    sections: page -> heading, as it stands there; "" is what comes before the page's second heading.
    """

    summary: str
    sections: tuple[tuple[str, str], ...]


def _topic(summary: str, *sections: str) -> Topic:
    """``"page.md#Heading"`` or ``"page.md"``."""
    return Topic(summary, tuple((page, heading) for page, _, heading in (s.partition("#") for s in sections)))


TOPICS = {
    "answers": _topic("what a request is answered, and errors of rows", "signatures.md#Answers"),
    "batching": _topic("merged requests, queues, latency", "deploying.md#Batching"),
    "buckets": _topic(
        "the shapes that a version is compiled for",
        "concepts/buckets.md",
        "concepts/buckets.md#Choosing them",
    ),
    "cache": _topic("keeping what XLA compiled", "deploying.md#The compilation cache"),
    "chats": _topic("the signature of chat templates", "signatures.md#Chat"),
    "dtypes": _topic("float32, bfloat16, float16, int8 weights", "formats.md#Which dtype, when"),
    "errors": _topic("exit codes, and what clients raise", "command-line.md#Exit codes", "clients.md#Errors"),
    "exactness": _topic("what an equal answer is", "concepts/parity.md", "concepts/parity.md#Margins"),
    "formats": _topic("checkpoints that are read", "formats.md"),
    "gpu": _topic("serving on a GPU", "deploying.md#One GPU, in Docker", "deploying.md#GPU memory"),
    "guides": _topic("answers held to a regex, choice or JSON Schema", "options.md#Guided answers"),
    "images": _topic("containers that run genserve itself", "deploying.md#An image with genserve"),
    "json": _topic("what --json prints", "command-line.md#JSON"),
    "labels": _topic("names for versions: stable, canary", "versions.md#Labels"),
    "languages": _topic("source and target of translation", "signatures.md#Languages"),
    "logs": _topic("what is kept off the terminal", "command-line.md#What is not shown"),
    "lora": _topic("adapters of PEFT", "formats.md#LoRA adapters of PEFT"),
    "options": _topic(
        "generation options, baked and per row",
        "options.md",
        "options.md#Per-row options of the `generate` signature",
    ),
    "prefix": _topic("a fixed text before every prompt", "signatures.md#A baked prefix"),
    "presets": _topic("further signatures with options of their own", "signatures.md#Presets"),
    "quantised": _topic("GPTQ, AWQ and other checkpoints", "formats.md#Quantised checkpoints"),
    "rest": _topic("asking with curl", "signatures.md#Over REST"),
    "resume": _topic("answers in pieces", "signatures.md#`resume`: answers in pieces"),
    "scores": _topic("likelihoods and next tokens", "signatures.md#`score` and `next_token`"),
    "seeds": _topic("sampling that can be repeated", "options.md#Seeds"),
    "signatures": _topic("inputs and outputs of a version", "signatures.md"),
    "targets": _topic("programs for a GPU or a CPU", "options.md#Targets"),
    "templates": _topic("prompts with fields", "signatures.md#Prompt templates"),
    "tokenizers": _topic("which are compiled, and how exactly", "tokenizers.md#The reference"),
    "warmup": _topic("compiling before the first request", "signatures.md#Warmup"),
}


def topic_names(incomplete: str = "") -> list[str]:
    """Those that begin so."""
    return [name for name in TOPICS if name.startswith(incomplete)]


def show_help(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(
            help="A topic or a verb; none lists the topics.",
            metavar="TOPIC|VERB",
            autocompletion=topic_names,
        ),
    ] = None,
) -> None:
    """Show a topic of the documentation, or a verb's help."""
    root = context.find_root()
    verbs = [name for name in root.command.list_commands(root) if name != "help"]  # type: ignore[attr-defined]
    if topic is None:
        width = max(map(len, TOPICS))
        print("\n".join(f"{name:<{width}}  {found.summary}" for name, found in TOPICS.items()))
        print(f"\ngenserve help VERB is genserve VERB --help: {', '.join(verbs)}")
    elif topic in TOPICS:
        _print("\n\n".join(section(*place) for place in TOPICS[topic].sections))
    elif topic in verbs:
        root.command.main([topic, "--help"], prog_name="genserve")
    else:
        raise OptionError(
            f"help: {topic!r} is no topic and no verb{did_you_mean(topic, [*TOPICS, *verbs])}; topics: "
            f"{', '.join(TOPICS)}; verbs: {', '.join(verbs)}"
        )


def section(page: str, heading: str) -> str:
    """From a heading of a page to the next one of its level or above."""
    lines = _page(page).splitlines()
    marks = list(_headings(lines))
    if heading:
        place = next(place for place, (_, _, title) in enumerate(marks) if title == heading)
        start, level, _ = marks[place]
        end = next((line for line, other, _ in marks[place + 1 :] if other <= level), len(lines))
    else:
        (start, _, _), (end, _, _) = marks[:2]
    return "\n".join(lines[start:end]).strip()


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Line, level and title of each; a ``#`` within a block of code is none."""
    code = False
    for number, line in enumerate(lines):
        code ^= line.lstrip().startswith("```")
        if not code and (found := re.match(r"(#+) +(.+?) *$", line)):
            yield number, len(found[1]), found[2]


def _page(name: str) -> str:
    """From the wheel, or in a checkout from its docs/."""
    package = Path(__file__).parents[1]
    places = (package / "docs" / name, package.parent / "docs" / name)
    return next(place for place in places if place.is_file()).read_text(encoding="utf-8")


def _print(markdown: str) -> None:
    """Set for a terminal; into a pipe as it stands."""
    if not sys.stdout.isatty():
        print(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    # Links lead to files beside the page, which a terminal cannot open.
    Console().print(Markdown(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown)))
