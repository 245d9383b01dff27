"""What is published, wheel and sdist: what they hold, and that the wheel works where nothing else is."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from packaging.metadata import Metadata

from exporter import __version__
from exporter.cli.help_topics import TOPICS
from exporter.demo import DEMOS
from tests.cli.documented import documented_keys
from tests.conftest import ROOT
from tests.packaging.clean import make_environment, user_environment

pytest.importorskip("hatchling")


def _build(source: Path, target: Path, *kinds: str, umask: int = 0o022) -> None:
    """A build as a distributor runs it: nothing in it may depend on when and where it is made."""
    arguments = [part for kind in kinds for part in ("-t", kind)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *arguments]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    result = subprocess.run(
        command, cwd=source, capture_output=True, text=True, check=False, env=environment, umask=umask
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with one wheel and one sdist of the checkout."""
    directory = tmp_path_factory.mktemp("dist")
    _build(ROOT, directory, "wheel", "sdist")
    return directory


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _tracked(*paths: str) -> set[str]:
    command = ["git", "ls-files", *paths]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert names
    return {name for name in names if (ROOT / name).is_file()}


@pytest.mark.parametrize("package", ["exporter", "serving_configs"])
def test_wheel_holds_every_file_of_both_packages(wheel: Path, package: str) -> None:
    """Templates and data too: whatever git tracks in a package."""
    assert _tracked(package) <= _names(wheel)


def test_wheel_holds_the_demos_the_command_and_nothing_of_the_workshop(wheel: Path) -> None:
    names = _names(wheel)
    assert {f"exporter/demo/{name}/model.safetensors" for name in DEMOS} <= names
    assert any(name.endswith("dist-info/entry_points.txt") for name in names)
    tops = {name.partition("/")[0] for name in names}
    metadata = f"genserve-{__version__}.dist-info"
    assert tops == {"exporter", "serving_configs", metadata}
    assert f"{metadata}/licenses/LICENSE" in names
    assert {"exporter/py.typed", "serving_configs/py.typed"} <= names
    assert not [name for name in names if re.search(r"(^|/)(tests?|scripts)/|\.(ipynb|svg|pyc)$", name)]


def test_metadata_is_valid(wheel: Path) -> None:
    (name,) = [name for name in _names(wheel) if name.endswith("dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        metadata = Metadata.from_email(archive.read(name), validate=True)
    assert (metadata.name, str(metadata.version)) == ("genserve", __version__)
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown"


def test_wheel_is_small(wheel: Path) -> None:
    """Both demo checkpoints are in it."""
    assert wheel.stat().st_size < 8 * 2**20


@pytest.mark.parametrize("page", sorted({page for topic in TOPICS.values() for page, _ in topic.sections}))
def test_wheel_holds_what_help_shows(wheel: Path, page: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"exporter/docs/{page}") == (ROOT / "docs" / page).read_bytes()


def test_an_index_takes_both(dist: Path) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("PASSED") == 2


def test_sdist_makes_the_same_files_and_can_be_tested(dist: Path, tmp_path: Path) -> None:
    """Byte for byte, though built from other files, in another folder, later, by another user."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"genserve-{__version__}"
    unpacked = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert _tracked("tests", "scripts", "docs", "mkdocs.yml", "*.md", "LICENSE") <= unpacked
    _build(source, tmp_path / "again", "wheel", "sdist", umask=0o077)
    built = {path.name: path.read_bytes() for path in dist.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == built


class Installed:
    """The wheel's own command, in a folder that is not the checkout, as a user's shell runs it."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.environment = user_environment() | {"COLUMNS": "100", "HOME": str(folder)}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result

    def start(self, *command: str, stderr: Path) -> subprocess.Popen[bytes]:
        words = [str(self.programs / command[0]), *command[1:]]
        with stderr.open("wb") as file:
            return subprocess.Popen(words, cwd=self.folder, env=self.environment, stderr=file)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        provided = set(re.findall(rb"(?m)^Provides-Extra: (\S+)", archive.read(name)))
    extras = frozenset({"export"} if b"export" in provided else ())
    programs = make_environment(folder / "environment", wheel, extras)
    (folder / "work").mkdir()
    return Installed(programs, folder / "work")


def test_nothing_else_is_there(installed: Installed) -> None:
    """Or the tests below would prove nothing."""
    code = (
        "import importlib.util as util, exporter\n"
        "print(exporter.__file__, *[name for name in ('torch', 'pytest', 'tests') if util.find_spec(name)])"
    )
    where, *others = installed.run("python", "-c", code).stdout.split()
    assert Path(where).is_relative_to(installed.programs.parent)
    assert others == []


@pytest.fixture(scope="module")
def exported(installed: Installed) -> subprocess.CompletedProcess[str]:
    """``demo:stories``, one bucket."""
    return installed.run(
        "genserve", "export", "demo:stories", "models", "--max-new-tokens", "8", "--prompt-lengths", "16",
        "--batch-sizes", "1", "--warmup", "minimal", "--extra-signatures", "", "--json",
    )  # fmt: skip


@pytest.mark.end_to_end
def test_export_says_its_steps_and_prints_json(exported: subprocess.CompletedProcess[str]) -> None:
    title, *steps = exported.stderr.splitlines()
    assert title == "demo:stories -> models/stories"
    assert len(steps) >= 4
    assert all(re.fullmatch(r"✓ [A-Z][\w ]+ \d:\d\d:\d\d", step.rstrip()) for step in steps), exported.stderr
    answer = json.loads(exported.stdout)
    assert answer["version_directory"] == "models/stories/1"
    assert answer["prompt_lengths"] == [16]
    assert set(answer) == documented_keys("export")


@pytest.mark.end_to_end
@pytest.mark.usefixtures("exported")
def test_verify(installed: Installed) -> None:
    result = installed.run("genserve", "verify", "models/stories/1", "--json")
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer["golden_answers"] > 0
    assert {*answer, *answer["checks"][0]} == documented_keys("verify")


@pytest.mark.end_to_end
@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    "command",
    [
        "inspect demo:stories",
        "config models",
        pytest.param("inspect demo:stories --prefix-text 'Once upon a time'", marks=pytest.mark.full),
        pytest.param("verify-tokenizer demo:translate --strings 20", marks=pytest.mark.full),
        pytest.param("warm models", marks=pytest.mark.full),
    ],
)
def test_other_verbs_say_their_answer_and_nothing_else(installed: Installed, command: str) -> None:
    result = installed.run("genserve", *shlex.split(command))
    assert result.stdout
    assert all(line.startswith("note: ") for line in result.stderr.splitlines()), result.stderr


@pytest.fixture(scope="module")
def server(installed: Installed, exported: object) -> Iterator[tuple[Sequence[str], Path]]:
    """Endpoints of the preview server, REST and gRPC, and the file of what it writes to stderr."""
    with socket.socket() as rest, socket.socket() as grpc:
        rest.bind(("127.0.0.1", 0))
        grpc.bind(("127.0.0.1", 0))
        ports = [str(listener.getsockname()[1]) for listener in (rest, grpc)]
    log = installed.folder / "server.log"
    options = ["--engine", "preview", "--rest-port", ports[0], "--grpc-port", ports[1]]
    process = installed.start("genserve", "serve", "models", *options, stderr=log)
    try:
        _wait_until_available(process, f"http://127.0.0.1:{ports[0]}/v1/models/stories", log)
        yield (f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"), log
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _wait_until_available(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while process.poll() is None:
        try:
            if httpx.get(url).json()["model_version_status"][0]["state"] == "AVAILABLE":
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the server ended: {log.read_text()}")


@pytest.mark.end_to_end
def test_the_client_asks_the_server_and_nobody_talks(
    installed: Installed, server: tuple[Sequence[str], Path]
) -> None:
    (rest, grpc), log = server
    answers = []
    for endpoint in (("--url", rest), ("--grpc", grpc)):
        result = installed.run(
            "genserve", "generate", *endpoint, "--model", "stories", "--prompt", "Once upon a time"
        )
        assert result.stderr == ""
        answers.append(result.stdout)
    assert answers[0] == answers[1]
    assert len(answers[0].split()) > 3
    lines = log.read_text().splitlines()
    assert lines
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ \S", line) for line in lines), log.read_text()
