"""Export directories behind a URL: on fsspec's memory file system, and on a pretended S3."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from exporter import cli
from exporter.deployment import write_serving_configs
from exporter.errors import GenserveError, OptionError, OutputError
from exporter.publishing import owners, remote
from serving_configs import protos
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import PEM


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The endpoint of a server that answers as S3 does."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place for an export directory."""
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/models"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/models"


def publish(
    url: str, folder: Path, version: int | None = None, *, force: bool = False, text: str = "graph"
) -> int:
    """What an export does: a version made on disk, uploaded, and the deployment rendered."""
    with remote.claimed(url, "stories", version, force=force) as number:
        directory = folder / uuid.uuid4().hex
        (directory / "variables").mkdir(parents=True)
        (directory / "saved_model.pb").write_text(text)
        (directory / "variables" / "data").write_bytes(b"x" * 1000)
        manifest(version=number, created=f"2026-01-02T03:04:05Z {text}").write(directory)
        remote.upload(directory, url, "stories", number)
    with remote.mirrored(url, write=True) as mirror:
        write_serving_configs(mirror)
    return number


def names(url: str) -> set[str]:
    return set(remote.Store.at(url).files())


def loaded(folder: Path) -> Any:
    text = (folder / "serving" / "models.config").read_text()
    return protos.from_text(text, protos.ModelServerConfig()).model_config_list.config[0]


def test_versions_are_numbered_listed_and_copied(url: str, tmp_path: Path) -> None:
    assert publish(url, tmp_path) == 1
    assert publish(url, tmp_path) == 2
    with pytest.raises(OutputError, match=r"version 2 exists in .*/stories: give --force"):
        publish(url, tmp_path, 2)
    assert remote.pull(url, tmp_path / "copy") == ["stories/1", "stories/2"]
    assert (tmp_path / "copy" / "stories" / "2" / "variables" / "data").stat().st_size == 1000
    assert loaded(tmp_path / "copy").model_version_policy.latest.num_versions == 1
    assert (tmp_path / "copy" / "serving" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert remote.pull(url, tmp_path / "copy") == []
    publish(url, tmp_path, 2, force=True, text="new")
    assert remote.pull(url, tmp_path / "copy") == ["stories/2"]
    assert (tmp_path / "copy" / "stories" / "2" / "saved_model.pb").read_text() == "new"
    assert not [name for name in names(url) if "/." in name]
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.name.startswith(".")]


def test_exports_at_once_get_numbers_of_their_own(url: str) -> None:
    numbers: list[int] = []
    barrier = threading.Barrier(4)

    def export() -> None:
        with remote.claimed(url, "stories", None, force=False) as number:
            barrier.wait()
            numbers.append(number)

    threads = [threading.Thread(target=export) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if url.startswith("s3"):  # the memory file system looks and writes in two steps
        assert sorted(numbers) == [1, 2, 3, 4]
    assert names(url) == set()


def test_half_a_version_is_none(url: str, tmp_path: Path) -> None:
    publish(url, tmp_path)
    store = remote.Store.at(url)

    def fail() -> None:
        with remote.claimed(url, "stories", None, force=False) as number:
            store.create(f"stories/{number}/saved_model.pb", b"half")
            assert "stories/2/saved_model.pb" in names(url)
            with pytest.raises(OutputError, match=r"version 2 of .* is being exported: wait for it"):
                publish(url, tmp_path, 2, force=True)
            assert remote.pull(url, tmp_path / "copy") == ["stories/1"]
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    assert not [name for name in names(url) if name.startswith(("stories/2", "stories/."))]


def test_what_a_killed_export_left_goes(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, mine = remote.Store.at(url), owners.own()
    gone = mine.name.replace(f"-{mine.start}-", f"-{mine.start - 1}-")
    store.create("stories/.reserved-1", gone.encode())
    store.create("stories/1/saved_model.pb", b"half")
    store.create("stories/.reserved-5", owners.own().name.encode())  # this one runs
    assert publish(url, tmp_path) == 6
    assert not [name for name in names(url) if name.startswith(("stories/1", "stories/.reserved-1"))]
    monkeypatch.setattr(owners, "host", lambda: "other")
    assert publish(url, tmp_path) == 7  # another host's, and not silent for long
    assert "stories/.reserved-5" in names(url)
    monkeypatch.setattr(remote, "CLAIM_SECONDS", -1.0)
    assert publish(url, tmp_path, 5) == 5


def test_no_key_is_uploaded(url: str, tmp_path: Path) -> None:
    publish(url, tmp_path)
    before = names(url)

    def change() -> None:
        with remote.mirrored(url, write=True) as mirror:
            write_serving_configs(mirror, {"ssl": {"server_key": PEM, "server_cert": PEM}})

    with pytest.raises(OptionError, match="a private key is not written to"):
        change()
    assert names(url) == before


Run = Callable[..., Any]


@pytest.fixture
def genserve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The verb's JSON."""

    def run(*arguments: object) -> Any:
        monkeypatch.setattr("sys.argv", ["genserve", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        assert not caught.value.code, printed.err
        return json.loads(printed.out)

    return run


def test_the_verbs_take_urls(url: str, tmp_path: Path, genserve: Run) -> None:
    for _ in range(4):
        publish(url, tmp_path)
    assert genserve("promote", f"{url}/stories", 2)["state"] == "moved"
    assert genserve("promote", f"{url}/stories", 3)["former"] == 2
    rows = genserve("versions", url)
    assert [(row["version"], row["labels"], row["loaded"]) for row in rows] == [
        (1, [], False),
        (2, [], True),
        (3, ["stable"], True),
        (4, [], False),
    ]
    assert rows[0]["bytes"] > 1000
    remote.pull(url, tmp_path / "copy")
    assert dict(loaded(tmp_path / "copy").version_labels) == {"stable": 3}
    assert genserve("rollback", f"{url}/stories")["version"] == 2
    assert [row["version"] for row in genserve("prune", f"{url}/stories", "--keep", 1)] == [1, 3]
    assert {name.split("/")[1] for name in names(url) if name.startswith("stories/")} == {"2", "4"}
    remote.pull(url, tmp_path / "copy")
    assert dict(loaded(tmp_path / "copy").version_labels) == {"stable": 2}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://bucket/models", "nosuch://bucket/models: Protocol not known: nosuch"),
        ("memory://nothing/here", "holds no version that genserve exported"),
    ],
)
def test_urls_that_hold_nothing_are_named(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(GenserveError, match=message):
        remote.pull(url, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_deployment_files_are_written_anew_behind_a_url(url: str, tmp_path: Path, genserve: Run) -> None:
    publish(url, tmp_path)
    written = genserve("config", url, "--no-batching")["files"]
    assert f"{url}/serving/docker-compose.yaml" in written
    remote.pull(url, tmp_path / "copy")
    options = yaml.safe_load((tmp_path / "copy" / "serving" / "options.yaml").read_text())
    assert options == {"batching": False, "source": url}
    compose = yaml.safe_load((tmp_path / "copy" / "serving" / "docker-compose.yaml").read_text())
    assert compose["services"]["pull"]["command"][:3] == ["genserve", "pull", f"${{SOURCE:-{url}}}"]
    # An options file of the user's own says nothing of where the folder came from.
    (tmp_path / "mine.yaml").write_text("poll_seconds: 3")
    genserve("config", tmp_path / "copy", "--options", tmp_path / "mine.yaml")
    assert yaml.safe_load((tmp_path / "copy" / "serving" / "options.yaml").read_text())["source"] == url


@pytest.mark.parametrize("verb", ["warm", "serve"])
def test_what_needs_a_folder_says_how_to_get_one(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["genserve", verb, "memory://bucket/models"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == OptionError.exit_code
    assert f"genserve pull memory://bucket/models DIR, then genserve {verb} DIR" in capsys.readouterr().err


def _job(folder: Path, url: str) -> Path:
    path = folder / "job.yaml"
    small = "max_new_tokens: 3, prompt_lengths: [8], batch_sizes: [1], warmup: none, tokenizer: none"
    path.write_text(f"output: {url}\nmodels:\n- {{model: 'demo:stories', name: stories, {small}}}\n")
    return path


def test_a_job_file_may_name_a_url(tmp_path: Path, genserve: Run) -> None:
    url = f"memory://{uuid.uuid4().hex}/models"
    publish(url, tmp_path)
    (plan,) = genserve("export", "--config", _job(tmp_path, url), "--dry-run")
    assert plan["version_directory"] == f"{url}/stories/2"


@pytest.mark.full
@pytest.mark.end_to_end
def test_an_export_to_a_url_prints_the_url(tmp_path: Path, genserve: Run) -> None:
    url = f"memory://{uuid.uuid4().hex}/models"
    facts = genserve("export", "--config", _job(tmp_path, url))
    assert facts["version_directory"] == f"{url}/stories/1"
    assert remote.pull(url, tmp_path / "copy") == ["stories/1"]
    assert yaml.safe_load((tmp_path / "copy" / "serving" / "options.yaml").read_text()) == {"source": url}
