"""The guides of an export: read from its options, checked against them, compiled over its vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from exporter.errors import GenserveError, OptionError, TokenizerUnsupportedError, raise_all
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.option_checks import against_guides
from exporter.guides import Guide, GuideTable, compile_guide, language
from exporter.manifest import GuideInfo
from exporter.options import ExportOptions
from exporter.saved_model.served import Guided, Served, programs_of

if TYPE_CHECKING:
    from exporter.tokenizer import TokenizerGraph

Tables = Mapping[Guided, GuideTable]

#: Signatures whose rows choose a guide.
CHOOSING = ("generate", "generate_tokens", "resume")
#: Kinds of signatures whose rows follow the guide of their own options.
_ALWAYS_GUIDED = ("text", "template", "chat")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_KINDS = ("regex", "choice", "json", "grammar")


def read_guides(
    options: ExportOptions, generation: GenerationOptions, presets: Mapping[str, GenerationOptions]
) -> dict[str, Guide]:
    """The guides that rows choose from, in order.

    Raises:
      OptionError: one is none, or does not go with the rest of the export; every problem in one error.
    """
    found, problems = {}, []
    for name, content in options.guides.items():
        try:
            found[name] = _guide(name, content)
            language(found[name])
        except GenserveError as error:
            problems.append(f"guides.{name}: {error}")
    problems += _wrong_guides(generation, presets)
    if options.guides:
        problems += [f"guides: {why}" for why in against_guides(generation)]
        if generation.guide is not None:
            problems.append(
                f"guides: every row of generate follows the exported {generation.guide.name} already; "
                "a preset may have it instead"
            )
        if not set(CHOOSING) & set(options.extra_signatures):
            problems.append(f"guides: no signature takes a guide; extra_signatures: {', '.join(CHOOSING)}")
    guided = bool(options.guides) or any(each.guide for each in (generation, *presets.values()))
    if guided and options.tokenizer == "none":
        problems.append("guides: a guide is followed by the texts of tokens; tokenizer 'none' has none")
    raise_all(OptionError, "guides cannot be followed:", problems)
    return found


def _wrong_guides(generation: GenerationOptions, presets: Mapping[str, GenerationOptions]) -> list[str]:
    """What is wrong with guides of the options' own: each is read once, named by whoever has it first."""
    owners: dict[Guide, str] = {}
    for name, own in (("generation", generation), *presets.items()):
        if own.guide is not None:
            owners.setdefault(own.guide, name)
    problems = []
    for guide, name in owners.items():
        try:
            language(guide)
        except GenserveError as error:
            problems.append(f"{name}: {error}")
    return problems


def _guide(name: str, content: Mapping[str, Any]) -> Guide:
    if not _NAME.fullmatch(name):
        raise OptionError(f"{name!r} must be 1-63 letters, digits, '_' or '-'")
    kinds = [kind for kind in _KINDS if kind in content]
    others = {key: value for key, value in content.items() if key not in kinds}
    if len(kinds) != 1 or not others.keys() <= {"depth", "spaced"}:
        raise OptionError(
            f"{sorted(content)}: allowed: one of regex, choice and json, and with it depth and spaced"
        )
    return Guide(kinds[0], content[kinds[0]], **others)  # type: ignore[arg-type]


def compile_guides(served: tuple[Served, ...], tokenizer: TokenizerGraph | None, vocab_size: int) -> Tables:
    """The table of every guide that an answer of an export may follow.

    Raises:
      OptionError: a guide's table would be too large, or its answers cannot be spelled.
    """
    guided = dict.fromkeys(one for key in programs_of(served) for one in key.guided)
    if not guided:
        return {}
    assert tokenizer is not None  # read_guides has seen to it
    try:
        vocabulary, first = (tokenizer.token_bytes(vocab_size, first=each) for each in (False, True))
    except TokenizerUnsupportedError as error:
        raise OptionError(f"{next(iter(guided)).guide.name}: {error}") from error
    special = {token for token, text in enumerate(vocabulary) if not text}
    return {
        one: compile_guide(one.guide, vocabulary, _inside(one.eos_token_id, vocab_size), special, first=first)
        for one in guided
    }


def _inside(tokens: tuple[int, ...], vocab_size: int) -> list[int]:
    return [token for token in tokens if 0 <= token < vocab_size]


def guide_infos(
    guides: Mapping[str, Guide],
    served: tuple[Served, ...],
    tables: Tables,
) -> tuple[GuideInfo, ...]:
    """Facts for the manifest: first the guides that rows choose from, in the order of their numbers.

    Then each that a signature always follows, named by the first that does.
    """
    found = [_info(name, one, tables) for name, one in _chosen(guides, served)]
    first: dict[Guided, str] = {}
    for signature in served:
        if signature.program is not None and signature.kind in _ALWAYS_GUIDED:
            for one in signature.program.guided:
                first.setdefault(one, signature.name)
    found += [_info(f"{name}.{one.guide.name}", one, tables, name) for one, name in first.items()]
    return tuple(found)


def _chosen(guides: Mapping[str, Guide], served: tuple[Served, ...]) -> Iterator[tuple[str, Guided]]:
    key = next((one for one in programs_of(served) if one.guides), None)
    return zip(guides, key.guided if key else (), strict=True)


def _info(name: str, one: Guided, tables: Tables, signature: str | None = None) -> GuideInfo:
    table = tables[one]
    return GuideInfo(
        name=name,
        kind=one.guide.kind,  # type: ignore[arg-type]  # a Guide is no grammar
        states=table.states,
        classes=table.classes,
        bytes=table.nbytes,
        signature=signature,
    )
