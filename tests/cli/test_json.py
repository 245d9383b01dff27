"""``--json`` of what is asked before an export: the facts of the report, whatever the answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter import cli
from exporter.demo import demo_path
from exporter.inspection import inspect_checkpoint
from tests.cli.documented import documented_keys
from tests.serving_configs.manifests import manifest

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """``ask(*arguments)`` -> the exit code and the answer."""

    def run(*arguments: object) -> tuple[int, Any]:
        monkeypatch.setattr("sys.argv", ["genserve", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        assert printed.err == ""
        return int(caught.value.code or 0), json.loads(printed.out)

    return run


def test_a_supported_checkpoint(ask: Ask) -> None:
    code, answer = ask("inspect", "demo:translate")
    config = json.loads((demo_path("translate") / "config.json").read_text())
    assert code == 0
    assert (answer["supported"], answer["reason"]) == (True, "")
    assert answer["parameters"] == inspect_checkpoint(demo_path("translate")).parameters
    model = answer["model"]
    for ours, theirs in {
        "layers": "num_decoder_layers",
        "encoder_layers": "num_layers",
        "hidden_size": "d_model",
        "vocab_size": "vocab_size",
        "heads": "num_heads",
        "head_dim": "d_kv",
    }.items():
        assert model[ours] == config[theirs], ours
    assert model["windows"] == [None] * config["num_decoder_layers"]
    assert {*answer, *model} == documented_keys("inspect")


@pytest.mark.full  # which loads transformers
def test_a_prefix(ask: Ask) -> None:
    code, answer = ask("inspect", "demo:stories", "--prefix-text", "Once upon a time there was")
    assert code == 0
    prefix = answer["prefix"]
    assert prefix["tokens"] > 0
    assert "Once upon a time there was".endswith(prefix["rest"])


def test_an_unsupported_one(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "lama"}))
    code, answer = ask("inspect", tmp_path)
    assert code == 4
    assert (answer["supported"], answer["model"], answer["stored_bytes"]) == (False, None, {})
    assert "did you mean 'llama'?" in str(answer["reason"])


def test_plans_are_one_list(ask: Ask, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    models = "[{model: 'demo:stories', name: a}, {model: 'demo:stories', name: b, tokenizer: none}]"
    job.write_text(f"output: {tmp_path}/models\nmodels: {models}\n")
    code, plans = ask("export", "--config", job, "--dry-run")
    assert code == 0
    assert [plan["version_directory"] for plan in plans] == [f"{tmp_path}/models/{name}/1" for name in "ab"]
    assert set(plans[0]) == set(plans[1]) == documented_keys("export --dry-run")
    assert not (tmp_path / "models").exists()


def test_a_server_that_is_not_there(ask: Ask, tmp_path: Path) -> None:
    manifest().write(tmp_path / "1")
    code, answer = ask("verify", tmp_path / "1", "--url", "http://127.0.0.1:9", "--timeout", "2")
    assert code == 6
    (check,) = answer["checks"]
    assert {*answer, *check} == documented_keys("verify")
    assert (answer["verified"], check["name"], check["status"]) == (False, "available", "failed")


def test_versions_of_a_folder(ask: Ask, tmp_path: Path) -> None:
    for number in (1, 10):
        manifest("a b", number).write(tmp_path / "a b" / str(number))
    code, answer = ask("inspect", tmp_path)
    assert code == 0
    assert [version["version"] for version in answer["versions"]] == [1, 10]
    manifest("other", 3).write(tmp_path / "other" / "3")
    assert ask("inspect", tmp_path / "a b") == (0, answer)  # of a servable's folder those of it alone
    (one,) = ask("inspect", tmp_path / "a b" / "10")[1]["versions"]
    assert one == answer["versions"][1]
    asked = one["signatures"]["serving_default"]
    assert asked["body"] == {"signature_name": "serving_default", "inputs": {"text": ["Once upon a time"]}}
    assert json.loads(shlex.split(asked["curl"])[-1]) == asked["body"]
    assert "/v1/models/a%20b/versions/10:predict" in asked["curl"]
    assert {"versions", *one, "body", "curl"} == documented_keys("inspect VERSION")
