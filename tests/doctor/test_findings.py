"""Findings about folders, servers, checkpoints and installations: each broken thing by its id."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest

from exporter import cli
from exporter.client import Client, RequestError, SignatureInfo, TensorInfo, VersionStatus
from exporter.deployment import write_serving_configs
from exporter.doctor import environment
from exporter.doctor.environment import environment_findings
from exporter.doctor.exportable import checkpoint_findings
from exporter.doctor.findings import Finding
from exporter.doctor.folder import folder_findings
from exporter.doctor.live_server import server_findings
from exporter.manifest import MANIFEST_PATH, GoldenAnswer
from tests.cli.documented import documented_keys
from tests.serving_configs.manifests import manifest

GOLDEN = (GoldenAnswer(signature="serving_default", inputs={"text": ["a"]}, outputs={"error": [""]}),)


def ids(findings: list[Finding], *severities: str) -> set[str]:
    wanted = severities or ("warning", "error")
    return {finding.id for finding in findings if finding.severity in wanted}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with two versions and its serving files."""
    for number in (1, 2):
        version = tmp_path / "stories" / str(number)
        manifest("stories", number, golden=GOLDEN).write(version)
        (version / "saved_model.pb").write_bytes(b"graph")
        (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"")
    write_serving_configs(tmp_path)
    return tmp_path


def test_a_good_folder(out: Path) -> None:
    assert [finding.id for finding in folder_findings(out) if finding.severity != "note"] == ["folder"]


def test_versions_made_for_the_other_device_are_noted(out: Path) -> None:
    """Both run scripts are there; only a GPU's memory says that the deployment is for GPUs."""
    assert _noted(out) == [("other-target", "run-gpu.sh serves stories version 2 of --target cpu")]
    model = json.loads((out / "stories" / "2" / MANIFEST_PATH).read_text())["model"]
    _edit(out, 2, model=model | {"target": "gpu"})
    assert _noted(out) == [("other-target", "run-cpu.sh serves stories version 2 of --target gpu")]
    write_serving_configs(out, {"gpu_memory_gib": 24})
    assert _noted(out) == [("memory-not-measured", "memory of stories version 2 was not measured")]


def _noted(out: Path) -> list[tuple[str, str]]:
    return [(found.id, found.what) for found in folder_findings(out) if found.severity == "note"]


def _edit(out: Path, number: int = 1, /, **changes: Any) -> None:
    path = out / "stories" / str(number) / MANIFEST_PATH
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _make(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "saved_model.pb").touch()


BROKEN: dict[str, Callable[[Path], Any]] = {
    "staging": lambda out: (out / "stories" / ".staging-3-1-abc").mkdir(),
    "no-saved-model": lambda out: (out / "stories" / "3").mkdir(),
    "other-tool": lambda out: _make(out / "theirs" / "1"),
    "manifest": lambda out: _edit(out, format=99),
    "moved": lambda out: _edit(out, version=9),
    "no-warmup": lambda out: _edit(out, warmup={"records": 0}),
    "warmup-missing": lambda out: (out / "stories/1/assets.extra/tf_serving_warmup_requests").unlink(),
    "no-golden": lambda out: _edit(out, golden=[]),
    "stale-serving": lambda out: (out / "serving" / "models.config").write_text(""),
    "serving-options": lambda out: (out / "serving" / "options.yaml").write_text("serving_version: '1.0'"),
}


@pytest.mark.parametrize("id", BROKEN)
def test_what_is_wrong_with_a_folder(out: Path, id: str) -> None:
    BROKEN[id](out)
    found = folder_findings(out)
    assert id in ids(found)
    assert all(finding.mend for finding in found if finding.severity in ("warning", "error"))


class Server:
    """A client whose server is in some state."""

    def __init__(self, status: Any, answer: Any = None) -> None:
        self._status, self._answer = status, answer

    def status(self) -> Any:
        if isinstance(self._status, Exception):
            raise self._status
        return self._status

    def metadata(self) -> dict[str, SignatureInfo]:
        inputs = {"input_ids": TensorInfo("int32", (None, 3)), "num_tokens": TensorInfo("int32", (None,))}
        return {"tokens": SignatureInfo(inputs, {})}

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        assert (signature, inputs) == ("tokens", {"input_ids": [[1, 1, 1]], "num_tokens": [1]})
        if isinstance(self._answer, Exception):
            raise self._answer
        return {}


@pytest.mark.parametrize(
    ("server", "problems"),
    [
        (Server([VersionStatus(1, "AVAILABLE")]), set()),
        (Server([VersionStatus(1, "LOADING")]), set()),
        (Server(RequestError("UNAVAILABLE", "refused")), {"unreachable"}),
        (Server(RequestError("UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED")), {"certificate"}),
        (Server([VersionStatus(1, "END", "INTERNAL", "XLA compilation disabled")]), {"xla-disabled"}),
        (
            Server([VersionStatus(1, "AVAILABLE")], RequestError("INTERNAL", "XLA compilation disabled")),
            {"xla-disabled"},
        ),
        (Server([VersionStatus(1, "AVAILABLE")], RequestError("INTERNAL", "what?")), {"no-answer"}),
    ],
)
def test_servers(server: Server, problems: set[str]) -> None:
    found = server_findings(cast(Client, server), "there")
    assert ids(found) == problems
    assert found


def test_checkpoints(tmp_path: Path) -> None:
    assert ids(checkpoint_findings("demo:stories")) == set()
    assert ids(checkpoint_findings(str(tmp_path / "no where"))) == {"checkpoint"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "lama"}))
    assert ids(checkpoint_findings(str(tmp_path))) == {"unsupported"}


def test_installations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"tensorflow": "2.20.0", "tensorflow-text": "2.20.1", "tensorflow-serving-api": "2.19.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(environment.metadata, "version", version)
    assert ids(environment_findings(tmp_path)) == {"tensorflow-serving-api-version"}
    (tmp_path / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "gpu-hidden" in ids(environment_findings(tmp_path), "note")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "gpu-libraries" in ids(environment_findings(tmp_path))
    versions["nvidia-cudnn-cu12"] = "9"
    assert "gpu" in ids(environment_findings(tmp_path), "good")
    versions.clear()
    assert ids(environment_findings(tmp_path), "note") == {"client-install"}


@pytest.mark.parametrize(
    ("arguments", "code"), [(["OUT"], 1), (["--message", "XLA compilation disabled"], 0)]
)
def test_the_verb(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> None:
    BROKEN["moved"](out)
    words = [str(out) if word == "OUT" else word for word in arguments]
    monkeypatch.setattr("sys.argv", ["genserve", "doctor", *words, "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert (caught.value.code or 0) == code
    answer = json.loads(capsys.readouterr().out)
    assert {*answer, *answer["findings"][0]} == documented_keys("doctor")
    assert {"moved", "xla-disabled"} & {finding["id"] for finding in answer["findings"]}
