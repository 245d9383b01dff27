"""OUT/serving as a user meets it: choices that are kept, files that go, keys from files, refusals."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.deployment import (
    read_manifests,
    read_options,
    serving_options,
    stored_options,
    write_serving_configs,
)
from exporter.errors import OptionError, OutputError
from serving_configs import protos
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import PEM, docker_words


def add(out: Path, version: int = 1, name: str = "stories", **changes: Any) -> Path:
    """A version's folder with its manifest alone: the files need no model."""
    directory = out / name / str(version)
    manifest(name, version, **changes).write(directory)
    return directory


@pytest.fixture
def out(tmp_path: Path) -> Path:
    add(tmp_path / "out")
    return tmp_path / "out"


def test_what_was_chosen_is_kept(out: Path) -> None:
    """A later export renders with the same options."""
    write_serving_configs(out, {"rest_port": 9001, "version_policy": "all"})
    add(out, 2)
    write_serving_configs(out)
    text = (out / "serving" / "run-cpu.sh").read_text()
    assert "--rest_api_port=9001" in docker_words(text)
    assert "all {" in (out / "serving" / "models.config").read_text()
    assert (out / "stories" / "2" / "batching_params.pbtxt").exists()
    write_serving_configs(out, {})
    assert "--rest_api_port=8501" in docker_words((out / "serving" / "run-cpu.sh").read_text())
    assert stored_options(out) == {}
    assert not (out / "serving" / "options.yaml").exists()


def test_files_that_are_not_rendered_anymore_go(out: Path) -> None:
    """A server started with them would do what nobody chose."""
    write_serving_configs(out, {"ssl": {"server_key": PEM, "server_cert": PEM}})
    for name in ("options.yaml", "ssl.config"):
        assert stat.S_IMODE((out / "serving" / name).stat().st_mode) == 0o600
    version = out / "stories" / "1"
    assert (version / "batching_params.pbtxt").exists()
    write_serving_configs(out, {"batching": False})
    left = {path.name for path in (out / "serving").iterdir()}
    assert not left & {"batching.config", "ssl.config"}
    assert not (version / "batching_params.pbtxt").exists()


def test_keys_come_from_files(out: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("server.key", "server.crt", "clients.crt"):
        (keys / name).write_text(PEM.replace("X", name))
    file = keys / "serving.yaml"
    fields = {"server_key": "server.key", "server_cert": "server.crt", "custom_ca": "clients.crt"}
    file.write_text(yaml.safe_dump({"ssl": {**fields, "client_verify": True}}))
    values = read_options(file)
    write_serving_configs(out, values)
    write_serving_configs(out)  # with the file names that were kept
    config = protos.from_text((out / "serving" / "ssl.config").read_text(), protos.new("SSLConfig"))
    assert config.client_verify
    for field, name in fields.items():
        assert getattr(config, field) == PEM.replace("X", name)
    assert "BEGIN" not in (out / "serving" / "options.yaml").read_text()
    (keys / "server.key").unlink()
    with pytest.raises(OptionError, match=r"ssl\.server_key: .*server\.key cannot be read"):
        write_serving_configs(out)


def test_batching_is_off_where_a_bad_row_would_fail_its_neighbours(out: Path) -> None:
    add(out, 2, options={"row_errors": "raise"})
    write_serving_configs(out)
    assert not (out / "serving" / "batching.config").exists()
    with pytest.raises(OptionError, match="one bad row would fail every client"):
        write_serving_configs(out, {"batching": True})


def test_a_refusal_writes_nothing_and_names_the_file(out: Path) -> None:
    write_serving_configs(out, {"version_labels": {"stories": {"stable": 1}}})
    add(out, 2)
    shutil.rmtree(out / "stories" / "1")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    expected = r"(?s)options\.yaml, correct it or give --options: .*there is no version 1; exported: \[2\]"
    with pytest.raises(OptionError, match=expected):
        write_serving_configs(out)
    assert before.items() <= {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}.items()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"rest_prot": 1},
            r"unknown serving options: 'rest_prot' \(did you mean 'rest_port'\?\); allowed: serv",
        ),
        ({"rest_port": 99999}, "rest_port: Input should be less than or equal to 65535"),
        ({"latency_goal_seconds": 0}, "latency_goal_seconds: Input should be greater than 0"),
        ({"version_policy": "newest"}, "version_policy: Input should be 'latest', 'all' or 'specific'"),
        ({"ssl": {"server_key": "k"}}, "ssl.server_key: k cannot be read"),
        ({"ssl": {"server_key": PEM}}, "ssl.server_cert: Field required"),
        ({"ssl": [1]}, "ssl: Input should be a valid dictionary"),
    ],
)
def test_wrong_options_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        serving_options(values, [manifest()])
    assert "BEGIN" not in str(caught.value)  # never the key


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a", "needs a mapping, has list"), ("a: [", "cannot be read"), ("\x00", "cannot be")],
)
def test_files_that_hold_no_options(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    with pytest.raises(OptionError, match=message):
        read_options(file)
    with pytest.raises(OptionError, match=r"missing\.yaml cannot be read"):
        read_options(tmp_path / "missing.yaml")
    file.write_text("# nothing chosen\n")
    assert read_options(file) == {}


def test_directories_that_hold_no_export(out: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere is no directory; OUT is what 'genserve export"):
        read_manifests(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="holds no version that genserve exported"):
        read_manifests(tmp_path / "empty")
    broken = out / "stories" / "1" / "assets.extra" / "genserve.json"
    for text in ("", "{", "[]", '{"format": 1}'):
        broken.write_text(text)
        with pytest.raises(OutputError, match=r"stories/1/assets\.extra/genserve\.json cannot be read"):
            read_manifests(out)
    broken.write_text('{"format": 99}')
    with pytest.raises(OutputError, match=r"genserve\.json: format 99 was written by .* upgrade"):
        read_manifests(out)


def test_a_job_that_could_not_run_is_refused_here(tmp_path: Path) -> None:
    add(tmp_path)
    job = {"models": [{"model": "demo:stories", "batch_size": 3}]}
    values = {"kubernetes": {"genserve_image": "genserve:1", "export": {"job": job}}}
    with pytest.raises(
        OptionError, match=r"kubernetes\.export\.job: models\[0\] cannot be used:(.|\n)*batch_size: unknown"
    ):
        write_serving_configs(tmp_path, values)
