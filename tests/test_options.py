"""Options: validated whole, flags over file over defaults, every problem in one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import OptionError
from exporter.options import make_options, read_job


def test_every_problem_stands_in_one_error() -> None:
    with pytest.raises(OptionError) as caught:
        make_options(
            {"model": "m", "batch_sizes": [8, 1], "dtype": "int3", "prompt_length": [8], "version": 0}
        )
    message = str(caught.value)
    assert "batch_sizes: [8, 1] must be a non-empty, strictly increasing list" in message
    assert "dtype: Input should be 'auto', 'float32', 'bfloat16' or 'float16', got 'int3'" in message
    assert "prompt_length: unknown option (did you mean 'prompt_lengths'?)" in message
    assert "version" in message


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("demo:stories", "stories"),
        ("org/Llama-3.2-1B", "Llama-3.2-1B"),
        ("/models/my model/", "my-model"),
        ("./.hidden_", "hidden"),
        ("org/repo:q4/model-Q4_K_M.gguf", "model-Q4_K_M"),
    ],
)
def test_servable_name_is_derived_from_the_model(model: str, name: str) -> None:
    assert make_options({"model": model}).servable_name() == name


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a" * 64, "ä", "a b"])
def test_servable_name_must_be_safe(name: str) -> None:
    with pytest.raises(OptionError, match="name"):
        make_options({"model": "m", "name": name})


def test_lengths_are_named_in_one_way_only() -> None:
    with pytest.raises(OptionError, match="prompt_lengths excludes"):
        make_options({"model": "m", "prompt_lengths": [8], "max_prompt_length": 8})


def test_effective_options_mark_non_defaults() -> None:
    effective = make_options({"model": "m", "batch_sizes": [2], "dtype": "auto"}).effective()
    assert effective["model"] == ("m", False)
    assert effective["batch_sizes"] == ((2,), False)
    assert effective["dtype"] == ("auto", True)
    assert effective["generation"] == ({}, True)


def _job(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_job_flags_win_over_entries_over_defaults(tmp_path: Path) -> None:
    path = _job(
        tmp_path,
        """
output: models
defaults: {max_new_tokens: 5, batch_sizes: [1], dtype: bfloat16}
models:
  - {model: "demo:stories", name: one, max_new_tokens: 6}
  - {model: "demo:stories", name: two}
""",
    )
    job = read_job(path, None, {"dtype": "float16"})
    assert job.output == Path("models")
    assert [(e.name, e.max_new_tokens, e.batch_sizes, e.dtype) for e in job.exports] == [
        ("one", 6, (1,), "float16"),
        ("two", 5, (1,), "float16"),
    ]
    assert read_job(path, Path("elsewhere"), {}).output == Path("elsewhere")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models: []", "non-empty list 'models'"),
        ("[1, 2]", "non-empty list 'models'"),
        ("models: [{model: m}]\nmodles: 1\noutput: o", r"modles: unknown key \(did you mean 'models'\?\)"),
        ("models: [{model: m}]", "no 'output'"),
        ("output: o\nmodels: [7]", r"models\[0\] must be a mapping"),
        ("output: o\nmodels: [{model: m}, {model: m, dtyp: x}]", r"models\[1\].*\n.*dtyp: unknown option"),
        ("output: o\nmodels: [{model: m, version: 1}, {model: m, version: 1}]", "m version 1 is named twice"),
        ("models: {", "cannot be read"),
        (
            "output: o\nmodels: [{model: a/m}, {model: b/m}]",
            "a/m and b/m are both called m: give one a 'name'",
        ),
        ("output: o\nmodels: [{model: b/x, name: m}, {model: a/m}]", "b/x and a/m are both called m"),
        ("output: o\nmodels: [{model: m, name: serving}]", "name: 'serving' is reserved: OUT/serving holds"),
    ],
)
def test_bad_job_files_are_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(OptionError, match=expected):
        read_job(_job(tmp_path, text), None, {})


def test_models_of_one_name_may_be_asked_for(tmp_path: Path) -> None:
    text = "output: o\nmodels: [{model: a/m}, {model: a/m}, {model: b/m, name: m}]"
    assert [options.servable_name() for options in read_job(_job(tmp_path, text), None, {}).exports] == [
        "m"
    ] * 3


@pytest.mark.parametrize("name", ["serving", "xla-cache", "Serving", "XLA-Cache"])
def test_folders_of_the_export_directory_are_no_servables(name: str) -> None:
    with pytest.raises(OptionError, match=f"name: '{name}' is reserved: OUT/{name.lower()} holds"):
        make_options({"model": "m", "name": name})
    derived = make_options({"model": f"./models/{name}/"})
    with pytest.raises(OptionError, match=f"'{name}' is reserved.*give --name"):
        derived.servable_name()
    assert make_options({"model": name, "name": f"{name}-2"}).servable_name() == f"{name}-2"


def test_missing_job_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        read_job(tmp_path / "none.yaml", None, {})


def test_adapters_of_one_base_are_servables_of_their_own(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "output: o\nmodels: [{model: a/m}, {model: a/m, adapter: ./sql}, {model: a/m, adapter: b/chat}]"
    )
    assert [options.servable_name() for options in read_job(job, None, {}).exports] == ["m", "sql", "chat"]
    job.write_text("output: o\nmodels: [{model: a/m, adapter: x/l}, {model: a/m, adapter: y/l}]")
    with pytest.raises(
        OptionError, match="a/m with the adapter x/l and a/m with the adapter y/l are both called l"
    ):
        read_job(job, None, {})
