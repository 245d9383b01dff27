"""Which guides of an export are checked, and which of its tables the manifest names."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.errors import OptionError
from exporter.exporting.guides import guide_infos, read_guides
from exporter.generation.generation_options import GenerationOptions
from exporter.guides import GuideTable
from exporter.manifest import Buckets
from exporter.options import make_options
from exporter.saved_model.served import programs_of, served_signatures

PLAIN = GenerationOptions()


def _regex(pattern: str) -> GenerationOptions:
    return GenerationOptions(guided_regex=pattern)


def test_each_guide_is_checked_once_named_by_its_first_owner() -> None:
    wrong, also = "(?=a)b", "a(?=b)c"
    presets = {"same": _regex(wrong), "generation": _regex(also)}
    with pytest.raises(OptionError) as error:
        read_guides(make_options({"model": "m"}), _regex(wrong), presets)
    problems = str(error.value).splitlines()[1:]
    assert len(problems) == 2
    assert all("generation: " in problem for problem in problems)
    assert wrong in problems[0]
    assert also in problems[1]


def test_the_manifest_names_every_table_once() -> None:
    presets = {"plain": PLAIN, "asked": _regex("a"), "again": _regex("a"), "filled": _regex("b")}
    served = served_signatures(
        make_options({"model": "m", "split_by_length": True}),
        PLAIN,
        presets,
        Buckets(prompt_lengths=(8, 16), batch_sizes=(1,)),
        vocab_size=4,
        guides={},
        chat=_regex("c"),
        templates=("filled",),
    )
    table = GuideTable(np.zeros([3, 2], np.int32), np.zeros(4, np.int32))
    tables = {one: table for key in programs_of(served) for one in key.guided}
    infos = guide_infos({}, served, tables)
    assert [(info.name, info.signature) for info in infos] == [
        ("asked.guided_regex", "asked"),
        ("filled.guided_regex", "filled"),
        ("chat.guided_regex", "chat"),
    ]
    assert {(info.states, info.classes) for info in infos} == {(3, 2)}
