"""``scripts/fetch_test_data`` against a server on this machine, and its table against the data."""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.scripts.fake_hub import FakeHub, Repo, git_blob

OLD, NEW = "1" * 40, "2" * 40
VOCAB, MERGES, MODEL = b'{"a": 0}', b"a b\n" * 10, os.urandom(8000)
XML = "<udhr xmlns='u'><title>{0} \n title</title><article><para>{0} one</para><para/></article></udhr>"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """small/plain in git, where vocab.json has changed; large/plain in large file storage; plain URLs."""
    files = {"vocab.json": VOCAB, "merges.txt": MERGES}
    with FakeHub(large={"model.bin"}) as hub:
        hub.repos["small/plain"] = Repo({NEW: {**files, "vocab.json": b"{}"}, OLD: files})
        hub.repos["large/plain"] = Repo({NEW: {"model.bin": MODEL}})
        hub.plain = {"/text.txt": b"text", **{f"/{n}.xml": XML.format(n).encode() for n in ("eng", "fra")}}
        yield hub


def described(content: bytes, **fields: Any) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **fields}


def in_hub(content: bytes, **fields: Any) -> dict[str, Any]:
    return described(content, blob=git_blob(content), **fields)


@pytest.fixture
def table(hub: FakeHub) -> dict[str, Any]:
    texts = b"eng title\neng one\nfra title\nfra one\n"
    return {
        "tokenizers": {
            "small": {
                "repo": "small/plain",
                "revision": OLD,
                "files": {"vocab.json": in_hub(VOCAB), "merges.txt": in_hub(MERGES)},
            },
            "large": {"repo": "large/plain", "revision": NEW, "files": {"model.bin": in_hub(MODEL)}},
        },
        "corpora": {
            "named.txt": described(b"text", url=f"{hub.url}/text.txt"),
            "all.txt": described(texts, parts={"url": hub.url + "/{name}.xml", "names": ["eng", "fra"]}),
        },
    }


class Fetch:
    """Runs the script with a table, in a folder."""

    def __init__(self, hub: FakeHub, table: dict[str, Any], directory: Path) -> None:
        self.table, self.data = table, directory / "data"
        self._file = directory / "table.yaml"
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "0"}
        self.environment = {**os.environ, **environment, "HF_HUB_DISABLE_TELEMETRY": "1"}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self._file.write_text(yaml.safe_dump(self.table))
        command = [sys.executable, str(ROOT / "scripts/fetch_test_data.py"), str(self.data), "--table"]
        result = subprocess.run(
            [*command, str(self._file), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in result.stdout + result.stderr
        return result

    def files(self) -> dict[str, bytes]:
        """What lies in the folder, without what is only begun."""
        paths = (path for path in self.data.rglob("*") if path.is_file() and ".partial" not in path.parts)
        return {str(path.relative_to(self.data)): path.read_bytes() for path in paths}


@pytest.fixture
def fetch(hub: FakeHub, table: dict[str, Any], tmp_path: Path) -> Fetch:
    return Fetch(hub, table, tmp_path)


ALL = {
    "tokenizers/small/vocab.json": VOCAB,
    "tokenizers/small/merges.txt": MERGES,
    "tokenizers/large/model.bin": MODEL,
    "corpora/named.txt": b"text",
    "corpora/all.txt": b"eng title\neng one\nfra title\nfra one\n",
}


def test_everything_once(hub: FakeHub, fetch: Fetch) -> None:
    result = fetch()
    assert result.returncode == 0, result.stdout + result.stderr
    assert fetch.files() == ALL
    assert (
        list(fetch.data.iterdir()) == [fetch.data / name for name in ("tokenizers", "corpora")]
        or not (fetch.data / ".partial").exists()
    )
    assert "5 fetched" in result.stdout
    assert result.stdout.splitlines()[-1] == f"export GENSERVE_TEST_DATA={fetch.data}"
    hub.requests.clear()
    again = fetch()
    assert again.returncode == 0
    assert "0 fetched (0.0 MB), 5 already there, 0 missing" in again.stdout
    assert hub.requests == []


def test_the_token_goes_to_the_hub_alone(hub: FakeHub, fetch: Fetch) -> None:
    assert fetch().returncode == 0
    told = {
        (host, headers.get("authorization")) for _, host, path, headers in hub.requests if "model.bin" in path
    }
    assert told == {("127.0.0.1", "Bearer hf_secret"), ("localhost", None)}
    assert all("authorization" not in headers for *_, path, headers in hub.requests if path == "/text.txt")


def test_one_folder(hub: FakeHub, fetch: Fetch) -> None:
    assert fetch("--only", "small").returncode == 0
    assert set(fetch.files()) == {"tokenizers/small/vocab.json", "tokenizers/small/merges.txt"}
    wrong = fetch("--only", "smal")
    assert wrong.returncode == 2
    assert "did you mean small?" in wrong.stderr


def test_list_asks_nobody(hub: FakeHub, fetch: Fetch) -> None:
    result = fetch("--list")
    assert result.returncode == 0
    assert f"small/plain vocab.json at {OLD}" in result.stdout
    assert len(result.stdout.splitlines()) == len(ALL)
    assert hub.requests == []


@pytest.mark.parametrize("path", ["model.bin", "merges.txt"])
def test_a_broken_transfer_goes_on(hub: FakeHub, fetch: Fetch, path: str) -> None:
    """Each of four tries brings a piece; the next run asks for the rest alone."""
    (name,) = (name for name in ALL if name.endswith(path))
    storage = f"/storage/{hashlib.sha256(MODEL).hexdigest()}/model.bin"
    at = storage if path in hub.large else path
    hub.broken[at] = len(ALL[name]) // 10
    broken = fetch()
    assert broken.returncode == 1
    assert "cannot be reached" in broken.stderr + broken.stdout
    assert name not in fetch.files()
    hub.broken.clear()
    hub.requests.clear()
    assert fetch().returncode == 0
    assert fetch.files() == ALL
    ranges = [headers["range"] for *_, headers in hub.requests if "range" in headers]
    assert f"bytes={4 * (len(ALL[name]) // 10)}-" in ranges


def test_a_beginning_of_another_file_is_dropped(fetch: Fetch) -> None:
    partial = fetch.data / ".partial/tokenizers/small/merges.txt"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"other")
    assert fetch().returncode == 0
    assert fetch.files() == ALL


@pytest.mark.parametrize("wrong", [b"b" * len(MERGES), b"short", MERGES + b"more"])
def test_wrong_content_is_refused(hub: FakeHub, fetch: Fetch, wrong: bytes) -> None:
    hub.swapped["merges.txt"] = wrong
    result = fetch()
    assert result.returncode == 1
    assert "tokenizers/small/merges.txt is not the published file" in result.stdout
    assert hashlib.sha256(MERGES).hexdigest() in result.stdout
    if len(wrong) <= len(MERGES):
        assert hashlib.sha256(wrong).hexdigest() in result.stdout
    assert fetch.files() == {name: ALL[name] for name in ALL if "merges" not in name}
    assert not (fetch.data / ".partial/tokenizers/small/merges.txt").exists()


def test_wrong_texts_are_refused(hub: FakeHub, fetch: Fetch) -> None:
    hub.plain["/fra.xml"] = b"<html>"
    result = fetch("--only", "corpora")
    assert result.returncode == 1
    assert "corpora/all.txt" in result.stdout
    assert set(fetch.files()) == {"corpora/named.txt"}


def test_a_file_that_was_changed_is_replaced(fetch: Fetch) -> None:
    assert fetch().returncode == 0
    (fetch.data / "corpora/named.txt").write_bytes(b"edited")
    assert "1 fetched" in fetch().stdout
    assert fetch.files() == ALL


def test_another_copy_that_serves_is_kept(hub: FakeHub, fetch: Fetch) -> None:
    fetch.table["corpora"]["named.txt"]["also"] = [hashlib.sha256(b"text\n").hexdigest()]
    target = fetch.data / "corpora/named.txt"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"text\n")
    assert fetch().returncode == 0
    assert target.read_bytes() == b"text\n"
    assert "/text.txt" not in hub.downloads()


@pytest.mark.parametrize("revision", [None, NEW])
def test_a_commit_is_found_by_content(fetch: Fetch, revision: str | None) -> None:
    """vocab.json has changed since; merges.txt has not, but may come from where vocab.json was found."""
    fetch.table["tokenizers"]["small"]["revision"] = revision
    result = fetch()
    assert result.returncode == 0, result.stdout
    assert fetch.files() == ALL
    assert f"small/plain: vocab.json is at revision {OLD}" in result.stdout


def test_content_that_no_commit_has(hub: FakeHub, fetch: Fetch) -> None:
    fetch.table["tokenizers"]["small"]["files"]["vocab.json"] = in_hub(b"never published")
    result = fetch()
    assert result.returncode == 1
    assert "commits of small/plain has vocab.json with sha256" in result.stdout
    assert "1 missing" in result.stdout
    assert not any("vocab.json" in path for path in hub.downloads())


def test_gated_repositories_are_named_first(hub: FakeHub, fetch: Fetch) -> None:
    hub.repos["small/plain"].gated = True
    result = fetch()
    assert result.returncode == 3
    advice = f"small/plain is gated: accept its terms at {hub.url}/small/plain, log in with `hf auth login`"
    assert advice in result.stdout
    assert result.stdout.index(advice) < result.stdout.index("fetched ")
    assert set(fetch.files()) == {name for name in ALL if "small" not in name}


def test_a_repository_that_is_not_there(fetch: Fetch) -> None:
    fetch.table["tokenizers"]["small"]["repo"] = "no/such"
    result = fetch()
    assert result.returncode == 1
    assert "no/such" in result.stdout
    assert set(fetch.files()) == {name for name in ALL if "small" not in name}


def test_a_hub_that_cannot_be_reached(fetch: Fetch) -> None:
    assert fetch("--only", "small").returncode == 0
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    fetch.environment["HF_ENDPOINT"] = address
    result = fetch()
    assert result.returncode == 1
    assert result.stdout.count(f"error: {address} cannot be reached") == 1
    assert set(fetch.files()) == {name for name in ALL if "large" not in name}, (
        "what others publish is fetched"
    )


def test_offline(fetch: Fetch) -> None:
    fetch.environment["HF_HUB_OFFLINE"] = "1"
    result = fetch()
    assert result.returncode == 1
    assert "HF_HUB_OFFLINE is set" in result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tokenizers: [", "no table of test data"),
        ("corpora: {a: {size: 1, sha256: x}}", "no table of test data"),
    ],
)
def test_a_broken_table(fetch: Fetch, tmp_path: Path, content: str, message: str) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(content)
    result = fetch("--table", str(broken))
    assert result.returncode == 1
    assert message in result.stderr


def test_a_folder_that_cannot_be(fetch: Fetch) -> None:
    fetch.data.write_text("a file")
    result = fetch()
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {fetch.data}")


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The committed table: target -> entry."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    read = importlib.import_module("test_data.table").read_table()
    assert len(read) == len({entry.target for entry in read})
    return {entry.target: entry for entry in read}


def test_table_and_data_agree(entries: dict[str, Any], test_data: Path) -> None:
    """Every file of the data is in the table with its content, and the other way round.

    Data without a gated repository is skipped visibly, once what is there has been checked.
    """
    paths = [*test_data.glob("tokenizers/*/*"), *test_data.glob("corpora/*.txt")]
    there = {str(path.relative_to(test_data)) for path in paths}
    assert there <= set(entries)
    for target in there:
        entry = entries[target]
        content = (test_data / target).read_bytes()
        assert entry.is_at(test_data / target), target
        if hashlib.sha256(content).hexdigest() == entry.sha256:
            assert entry.size == len(content), target
            assert getattr(entry.source, "blob", None) in (None, git_blob(content)), target
    if there != set(entries):
        pytest.skip(f"the test data lacks {', '.join(sorted(set(entries) - there))}")


def test_what_is_not_on_the_hub_is_pinned_by_commit(entries: dict[str, Any]) -> None:
    urls = [entry.source.url for entry in entries.values() if hasattr(entry.source, "url")]
    assert urls
    for url in urls:
        assert url.startswith("https://raw.githubusercontent.com/")
        assert len(url.split("/")[5]) == 40, url
