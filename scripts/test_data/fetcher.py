"""Fetches what the table says into a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import constants
from rich.progress import Progress, TaskID

from test_data.download import UnreachableError, client, download, get, host_of, put
from test_data.hub import GatedError, Hub
from test_data.table import Entry, FetchError, HubFile, Texts, Url
from test_data.texts import ParseError, assemble


class Fetcher:
    """Fetches entries into a folder and keeps account of them."""

    def __init__(self, directory: Path, progress: Progress) -> None:
        self.directory = directory
        self.fetched: list[Entry] = []
        self.failed: dict[Entry, FetchError] = {}
        self._progress = progress
        self._task = TaskID(0)
        self._http = client()
        self._hub = Hub()
        self._found: set[tuple[str, str]] = set()

    def run(self, entries: list[Entry]) -> None:
        """Fetches them; the hub is asked for all before, so that gated repositories are named first."""
        hub = [entry for entry in entries if isinstance(entry.source, HubFile)]
        commits = {entry: self._try(entry, self._locate) for entry in hub}
        for advice in dict.fromkeys(e.advice for e in self.failed.values() if isinstance(e, GatedError)):
            self._say(advice)
        todo = [entry for entry in entries if entry not in self.failed]
        self._task = self._progress.add_task("", total=sum(entry.size for entry in todo))
        for entry in todo:
            self._progress.update(self._task, description=entry.target)
            self._try(entry, lambda entry: self._fetch(entry, commits.get(entry)))

    def _try(self, entry: Entry, action: Callable[[Entry], str | None]) -> str | None:
        """Does something for an entry, or notes why it failed; a server that is away is asked once."""
        host = _host(entry)
        away = [e for e in self.failed.values() if isinstance(e, UnreachableError) and e.host == host]
        try:
            if away:
                raise away[0]
            return action(entry)
        except FetchError as error:
            self.failed[entry] = error
            if not away and not isinstance(error, GatedError):
                self._say(f"error: {error}")
            return None

    def _locate(self, entry: Entry) -> str:
        assert isinstance(entry.source, HubFile)
        file = entry.source
        commit = self._hub.locate(entry, file)
        if commit != file.revision and (file.repo, commit) not in self._found:
            self._found.add((file.repo, commit))
            self._say(f"{file.repo}: {file.path} is at revision {commit}")
        return commit

    def _fetch(self, entry: Entry, commit: str | None) -> None:
        partial = self.directory / ".partial" / entry.target
        partial.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry.source, Texts):
            self._assemble(entry, entry.source, partial)
        elif isinstance(entry.source, Url):
            self._download(entry, entry.source.url, partial, {})
        elif commit:
            self._download(entry, self._hub.url(entry.source, commit), partial, self._hub.headers)
        target = self.directory / entry.target
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(target)
        self.fetched.append(entry)
        self._say(f"fetched {entry.target}")

    def _download(self, entry: Entry, url: str, partial: Path, headers: dict[str, str]) -> None:
        if partial.exists():
            self._advance(partial.stat().st_size)
        download(self._http, url, entry, partial, headers, self._advance)

    def _assemble(self, entry: Entry, texts: Texts, partial: Path) -> None:
        folder = partial.with_name(f"{partial.name}.parts")
        folder.mkdir(exist_ok=True)
        for name in texts.names:
            part = folder / name
            if not part.exists():
                put(get(self._http, texts.url.format(name=name)), part)
            self._advance(entry.size // len(texts.names))
        try:
            put(assemble((folder / name).read_bytes() for name in texts.names), partial)
            entry.check(partial)
        except FetchError:
            shutil.rmtree(folder)
            raise
        except ParseError as error:
            shutil.rmtree(folder)
            raise FetchError(f"{entry.target}: a part of it is no XML ({error})") from error

    def _advance(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def _say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True, markup=False)


def _host(entry: Entry) -> str:
    """The server that is asked first."""
    return host_of(constants.ENDPOINT if isinstance(entry.source, HubFile) else entry.source.url)
