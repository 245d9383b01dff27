"""docs/licences.md: every direct dependency, with a licence."""

from __future__ import annotations

import pytest

from scripts import make_licences


def test_the_page_lists_what_is_asked_for() -> None:
    listed = make_licences.rows(make_licences.TARGET.read_text(encoding="utf-8"))
    assert list(listed) == list(make_licences.asked_for()), make_licences.COMMAND
    assert all(listed.values())
    assert "Apache" in listed["tensorflow"]


@pytest.mark.parametrize(
    ("fields", "classifiers", "said"),
    [
        ({"License-Expression": "MIT", "License": "old"}, ["License :: OSI Approved :: BSD License"], "MIT"),
        ({"License": "Apache 2.0"}, ["License :: OSI Approved :: Apache Software License"], "Apache 2.0"),
        ({"License": "Copyright\n" + "x" * 900}, ["License :: OSI Approved :: BSD License"], "BSD License"),
        ({}, ["Programming Language :: Python"], ""),
    ],
)
def test_what_a_package_says_of_itself(fields: dict[str, str], classifiers: list[str], said: str) -> None:
    assert make_licences.licence(fields, classifiers) == said


def test_a_package_that_is_not_here_keeps_its_row() -> None:
    name = "no-such-package-of-genserve"
    assert make_licences.licences([name], {name: "MIT"}) == {name: "MIT"}
    with pytest.raises(SystemExit, match=name):
        make_licences.licences([name], {})


def test_a_page_is_read_as_it_is_written() -> None:
    groups = {"a-b": ["the base install", "export"], "c": ["gguf"]}
    texts = {"a-b": "MIT | BSD", "c": "Apache-2.0"}
    assert make_licences.rows(make_licences.page(groups, texts)) == {"a-b": "MIT / BSD", "c": "Apache-2.0"}
