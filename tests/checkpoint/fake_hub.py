"""A Hugging Face hub on this machine: the endpoints that a download needs, and a log of what was asked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_ASK = """
import json, sys
from exporter.checkpoint import locate
from exporter.errors import GenserveError
answers = []
for model, revision, weights in json.loads(sys.argv[1]):
    try:
        found = locate(model, revision, weights=weights)
        answers.append({"path": str(found.path), "revision": found.revision, "notes": found.notes})
    except GenserveError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""


@dataclass
class Hub:
    """Repositories by id: files by name of the one commit that branch "main" names."""

    commit: str = "c0ffee" + "0" * 34
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    address: str = ""

    def ask(
        self, cache: Path, *asked: tuple[str, str | None], weights: bool = True, **environment: str
    ) -> list[dict[str, Any]]:
        """What ``locate`` answers in a process whose hub this is."""
        done = subprocess.run(
            [sys.executable, "-c", _ASK, json.dumps([[*pair, weights] for pair in asked])],
            env={**self.environment(cache), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "%|" not in done.stderr, "no bars where stderr is no terminal"
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def environment(self, cache: Path) -> dict[str, str]:
        """The variables of a process whose hub this is."""
        own = {"HF_ENDPOINT": self.address, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
        return {**os.environ, **own}

    def answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        words = path.split("?")[0].strip("/").split("/")
        api = words[:2] == ["api", "models"]
        name, rest = "/".join(words[2:4] if api else words[:2]), words[4:] if api else words[2:]
        if name not in self.repositories:
            return self._refused(404, "RepoNotFound", "Repository not found")
        if len(rest) > 1 and rest[1] not in {"main", self.commit}:
            return self._refused(404, "RevisionNotFound", "Invalid rev id: " + rest[1])
        files = self.repositories[name]
        if api and rest[:1] == ["tree"]:
            return self._json([_entry(file, content) for file, content in files.items()])
        if api:
            return self._json({"id": name, "sha": self.commit, "siblings": [{"rfilename": f} for f in files]})
        return self._file(method, name, "/".join(rest[2:]))

    def _file(self, method: str, name: str, file: str) -> tuple[int, dict[str, str], bytes]:
        if name in self.gated:
            return self._refused(401, "GatedRepo", "Access to model is restricted")
        if file not in self.repositories[name]:
            return self._refused(404, "EntryNotFound", "Entry not found")
        content = self.repositories[name][file]
        if method == "GET":
            self.fetched.append(file)
        return 200, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": self.commit}, content

    def _refused(self, status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
        return status, {"X-Error-Code": code, "X-Error-Message": message}, message.encode()

    def _json(self, value: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _entry(file: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": file, "size": len(content), "oid": _digest(content)}


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serves ``hub`` on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_HEAD(self) -> None:
            self._answer("HEAD")

        def _answer(self, method: str) -> None:
            status, headers, body = hub.answer(method, self.path)
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if method == "GET":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def files(*names: str, **contents: bytes) -> dict[str, bytes]:
    """Files of a repository: each its own name, config.json an object."""
    return {"config.json": b"{}", **{name: name.encode() for name in names}, **contents}


def index(*shards: str) -> bytes:
    """An index that names ``shards``."""
    return json.dumps(
        {"metadata": {}, "weight_map": {f"t{i}": name for i, name in enumerate(shards)}}
    ).encode()


def under(path: Sequence[str] | Path) -> list[str]:
    """Every file of a snapshot, relative to it."""
    root = Path(path) if isinstance(path, Path | str) else Path(*path)
    return sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
