"""Versions, labels, going back and pruning, on folders that hold manifests alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import cli
from exporter.deployment import stored_options, write_serving_configs
from exporter.errors import OptionError, OutputError
from exporter.manifest import GoldenAnswer
from exporter.rollout import list_versions, locate, locate_model, promote, prune, rollback
from serving_configs import protos
from tests.serving_configs.test_deployment import add

POLLING = {"poll_seconds": 1}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Versions 1 to 5 of "stories", and one "chat"."""
    for version in range(1, 6):
        add(tmp_path / "out", version)
    add(tmp_path / "out", 7, "chat")
    return tmp_path / "out"


def served(out: Path, file: str = "models.config") -> tuple[Any, dict[str, int]]:
    """(versions of "stories" that a server is told to load, or how many of the newest; its labels)."""
    config = protos.from_text((out / "serving" / file).read_text(), protos.ModelServerConfig())
    model = next(item for item in config.model_config_list.config if item.name == "stories")
    policy = model.model_version_policy
    if policy.WhichOneof("policy_choice") == "latest":
        return policy.latest.num_versions, dict(model.version_labels)
    return list(policy.specific.versions), dict(model.version_labels)


def test_labels_decide_what_is_loaded(out: Path) -> None:
    write_serving_configs(out)
    assert served(out) == (1, {})
    assert promote(out, "stories", 2).state == "moved"
    assert served(out) == ([2], {"stable": 2})
    promote(out, "stories", 5, "canary")
    assert served(out) == ([2, 5], {"stable": 2, "canary": 5})
    assert served(out) == served(out, "models-native.config")
    # What a label named last stays loaded.
    move = promote(out, "stories", 5)
    assert (move.state, move.former, move.version) == ("moved", 2, 5)
    assert served(out) == ([2, 5], {"stable": 5, "canary": 5})
    assert promote(out, "stories", 5).state == "unchanged"
    # A new version waits for its promotion; another model is not concerned.
    add(out, 6)
    add(out, 8, "chat")
    write_serving_configs(out)
    assert served(out) == ([2, 5], {"stable": 5, "canary": 5})
    assert [fact.version for fact in list_versions(out, "chat") if fact.loaded] == [8]
    write_serving_configs(out, stored_options(out) | {"keep_former": False})
    assert served(out) == ([5], {"stable": 5, "canary": 5})


def test_going_back_step_by_step(out: Path) -> None:
    for version in (1, 3, 4):
        promote(out, "stories", version)
    assert [rollback(out, "stories").version for _ in range(2)] == [3, 1]
    with pytest.raises(OptionError, match=r"nothing to go back to from version 1; exported: 1, 2, 3, 4, 5"):
        rollback(out, "stories")
    promote(out, "stories", 5, "canary")
    assert rollback(out, "stories", "canary").state == "removed"
    assert served(out) == ([1], {"stable": 1})
    with pytest.raises(OptionError, match="has no label 'canary'; labels: stable"):
        rollback(out, "stories", "canary")


def test_going_back_without_a_promotion_takes_the_version_before_the_newest(out: Path) -> None:
    assert rollback(out, "stories").version == 4
    assert served(out) == ([4], {"stable": 4})
    with pytest.raises(OptionError, match="nothing to go back to from version 7"):
        rollback(out, "chat")


def test_a_label_in_use_moves_only_to_a_loaded_version(out: Path) -> None:
    """A server that watches the file would refuse the move, and stay as it is for ever."""
    write_serving_configs(out, POLLING)
    assert promote(out, "stories", 3).state == "moved"  # not in use before
    assert promote(out, "stories", 5).state == "loading"
    assert served(out) == ([3, 5], {"stable": 3})
    assert stored_options(out)["loading"] == {"stories": [5]}
    assert promote(out, "stories", 5).state == "moved"
    assert served(out) == ([3, 5], {"stable": 5})
    assert rollback(out, "stories").state == "moved"  # still loaded: at once
    assert served(out) == ([3], {"stable": 3})
    assert stored_options(out) == POLLING | {"version_labels": {"stories": {"stable": 3}}}


def test_old_versions_go_but_none_that_is_needed(out: Path) -> None:
    promote(out, "stories", 1)
    promote(out, "stories", 2)
    promote(out, "stories", 3, "canary")
    before = sorted(path.name for path in (out / "stories").iterdir())
    assert [fact.version for fact in prune(out, "stories", 1, dry_run=True)] == [4]
    assert sorted(path.name for path in (out / "stories").iterdir()) == before
    assert [fact.version for fact in prune(out, "stories", 1)] == [4]
    assert sorted(path.name for path in (out / "stories").iterdir()) == ["1", "2", "3", "5"]
    assert prune(out, "stories", 1) == []
    assert prune(out, "chat", 1) == []
    with pytest.raises(OptionError, match="--keep 0: must be at least 1"):
        prune(out, "stories", 0)


@pytest.mark.parametrize(
    ("options", "left"), [({"num_versions": 3}, [3, 4, 5]), ({"version_policy": "all"}, [4, 5])]
)
def test_the_newest_that_are_loaded_stay(out: Path, options: dict[str, Any], left: list[int]) -> None:
    write_serving_configs(out, options)
    prune(out, "stories", 2)
    assert [fact.version for fact in list_versions(out, "stories")] == left


def test_what_is_listed(out: Path) -> None:
    golden = GoldenAnswer(signature="serving_default", inputs={}, outputs={})
    directory = add(out, 5, golden=(golden, golden))
    (directory / "variables").mkdir()
    (directory / "variables" / "data").write_bytes(b"x" * 1000)
    promote(out, "stories", 5, "canary")
    fact = next(fact for fact in list_versions(out) if (fact.name, fact.version) == ("stories", 5))
    assert (fact.created, fact.source, fact.labels, fact.loaded, fact.verified) == (
        "2026-01-02T03:04:05Z",
        "demo:stories",
        ("canary",),
        True,
        2,
    )
    manifest = directory / "assets.extra" / "genserve.json"
    batching = directory / "batching_params.pbtxt"
    assert fact.bytes == 1000 + manifest.stat().st_size + batching.stat().st_size
    assert [(fact.name, fact.version) for fact in list_versions(out)][:2] == [("chat", 7), ("stories", 1)]


def test_paths_name_an_export_or_a_model(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate(out) == (out, None)
    assert locate(out / "stories") == (out, "stories")
    monkeypatch.chdir(out / "stories")
    assert locate_model(Path()) == (out, "stories")
    with pytest.raises(
        OutputError, match=r"no model 'storys' \(did you mean 'stories'\?\); exported: chat, stories"
    ):
        locate(out / "storys")
    with pytest.raises(OutputError, match=r"is an export directory: give one of its models, .*out/chat"):
        locate_model(out)
    with pytest.raises(OutputError, match="nowhere is no directory"):
        locate(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="holds no version"):
        locate(tmp_path / "empty")


def test_promotions_at_once_lose_nothing(out: Path) -> None:
    """Options are read, changed and written under one lock."""
    threads = [
        threading.Thread(target=promote, args=(out, "stories", version, f"label{version}"))
        for version in range(1, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served(out) == ([1, 2, 3, 4, 5], {f"label{version}": version for version in range(1, 6)})


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def genserve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["genserve", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


def test_the_verbs_as_typed(genserve: Run, out: Path) -> None:
    code, text, _ = genserve("promote", out / "stories", 3)
    assert (code, text.splitlines()) == (
        0,
        [
            "stories: label 'stable' names version 3",
            "a running server follows when it starts again (poll_seconds is 0)",
        ],
    )
    code, text, _ = genserve("promote", out / "stories", 4, "--json")
    assert json.loads(text) == {
        "name": "stories",
        "label": "stable",
        "version": 4,
        "former": 3,
        "state": "moved",
        "poll_seconds": 0,
    }
    code, text, _ = genserve("versions", out, "--json")
    rows = {(row["name"], row["version"]): row for row in json.loads(text)}
    assert rows["stories", 4]["labels"] == ["stable"]
    assert [key for key, row in rows.items() if row["loaded"]] == [
        ("chat", 7),
        ("stories", 3),
        ("stories", 4),
    ]
    code, text, _ = genserve("versions", out / "stories")
    assert len(text.splitlines()) == 6
    assert "demo:stories" in text
    code, text, _ = genserve("rollback", out / "stories", "--json")
    assert (json.loads(text)["former"], json.loads(text)["version"]) == (4, 3)
    code, text, _ = genserve("prune", out / "stories", "--keep", 1, "--dry-run")
    assert [line.split(" (")[0] for line in text.splitlines()] == [
        f"would remove stories version {version}" for version in (1, 2, 4)
    ]
    assert len(json.loads(genserve("prune", out / "stories", "--keep", 1, "--json")[1])) == 3
    assert genserve("prune", out / "stories", "--keep", 1)[1] == "nothing to remove\n"


def test_config_keeps_what_was_promoted_unless_it_is_told(genserve: Run, out: Path, tmp_path: Path) -> None:
    genserve("promote", out / "stories", 3)
    options = tmp_path / "mine.yaml"
    options.write_text("rest_port: 9001\n")
    genserve("config", out, "--options", options)
    assert served(out) == ([3], {"stable": 3})
    options.write_text("version_labels: {}\n")
    genserve("config", out, "--options", options)
    assert served(out) == (1, {})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("promote", "OUT/stories", 9), 2, "has no version 9; exported: 1, 2, 3, 4, 5"),
        (("promote", "OUT/stories", 3, "--label", "a/b"), 2, "--label 'a/b': must be letters"),
        (("promote", "OUT/stories", 3, "--label", ""), 2, "--label '': must be letters"),
        (("promote", "OUT", 3), 5, "is an export directory: give one of its models"),
        (("versions", "nowhere"), 5, "nowhere is no directory"),
        (("rollback", "OUT/chat"), 2, "nothing to go back to"),
        (("prune", "OUT/stories", "--keep", "0"), 2, "--keep 0"),
    ],
)
def test_what_is_wrong_is_said(
    genserve: Run, out: Path, arguments: tuple[Any, ...], code: int, message: str
) -> None:
    words = [str(word).replace("OUT", str(out)) for word in arguments]
    status, _, error = genserve(*words)
    assert (status, message in error) == (code, True), error
    assert "Traceback" not in error


def test_the_kept_options_say_it_in_yaml(out: Path) -> None:
    promote(out, "stories", 3)
    promote(out, "stories", 4)
    text = (out / "serving" / "options.yaml").read_text()
    assert yaml.safe_load(text) == {
        "version_labels": {"stories": {"stable": 4}},
        "label_history": {"stories": {"stable": [3]}},
    }
