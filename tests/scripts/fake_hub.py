"""A server that speaks what ``scripts/fetch_test_data`` needs of the Hugging Face hub, and plain URLs.

Large files are redirected to the same server under another name (localhost), as the hub does to its storage.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repo:
    """Commits, newest first: id -> path -> content."""

    commits: dict[str, dict[str, bytes]]
    gated: bool = False


@dataclass
class FakeHub:
    """State that tests set and read.

    Attributes:
      plain: path -> content of what is not in a repository.
      large: paths that are in large file storage.
      broken: path -> bytes after which each transfer breaks off.
      swapped: path -> what is sent instead.
      requests: (method, host name, path, headers by lower-case name).
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    broken: dict[str, int] = field(default_factory=dict)
    swapped: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)

    def __enter__(self) -> FakeHub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def downloads(self) -> list[str]:
        """The paths of the files that were asked for, not only their metadata."""
        return [path for method, _, path, _ in self.requests if method == "GET" and "/api/" not in path]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        host = headers["host"].partition(":")[0]
        self.hub.requests.append((self.command, host, self.path, headers))
        commits = re.fullmatch("/api/models/([^/]+/[^/]+)/commits/main", self.path)
        resolve = re.fullmatch("/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if commits:
            self._send_commits(self.hub.repos[commits[1]])
        elif resolve and resolve[1] in self.hub.repos:
            self._resolve(self.hub.repos[resolve[1]], *resolve.groups()[1:])
        elif self.path in self.hub.plain:
            self._send_file(self.path, self.hub.plain[self.path], {})
        else:
            self._send(404, {}, b"")

    def _send_commits(self, repo: Repo) -> None:
        fields = {"title": "", "message": "", "authors": [], "date": "2024-01-01T00:00:00.000Z"}
        self._send(200, {}, json.dumps([{"id": commit, **fields} for commit in repo.commits]).encode())

    def _resolve(self, repo: Repo, revision: str, path: str) -> None:
        commit = next(iter(repo.commits)) if revision == "main" else revision
        if repo.gated:
            self._send(403, {"X-Error-Code": "GatedRepo"}, b"")
        elif commit not in repo.commits:
            self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        elif path not in repo.commits[commit]:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
        elif path in self.hub.large:
            content = repo.commits[commit][path]
            sha256 = hashlib.sha256(content).hexdigest()
            self.hub.plain[f"/storage/{sha256}/{path}"] = content
            headers = {
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": str(len(content)),
                "X-Repo-Commit": commit,
            }
            location = f"http://localhost:{self.hub.port}/storage/{sha256}/{path}"
            self._send(302, {**headers, "Location": location}, b"")
        else:
            content = repo.commits[commit][path]
            self._send_file(path, content, {"ETag": f'"{git_blob(content)}"', "X-Repo-Commit": commit})

    def _send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        content = self.hub.swapped.get(path, content)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted:
            start = int(wanted[1])
            self._send(
                206, {**headers, "Content-Range": f"bytes {start}-/{len(content)}"}, content[start:], path
            )
        else:
            self._send(200, headers, content, path)

    def _send(self, status: int, headers: dict[str, str], body: bytes, path: str = "") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if path in self.hub.broken:
            body = body[: self.hub.broken[path]]
            self.close_connection = True
        self.wfile.write(body)
