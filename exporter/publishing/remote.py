"""Export directories behind a URL (s3://, gs://, ... through fsspec).

An object store renames nothing, so nothing there appears at once. A version counts as published when its
manifest is there, which is written last; readers (``pull``, verbs on a URL) ignore what has none. A number is
claimed by an object ``NAME/.reserved-7`` that is created only if it does not exist: s3fs and gcsfs ask the
store for that condition; a file system of fsspec that ignores ``mode="create"`` keeps two exports of one name
apart only as far as their looks at the folder do.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import GenserveError, OptionError, OutputError, installing
from exporter.manifest import MANIFEST_PATH, Manifest
from exporter.publishing.local import staged_version
from exporter.publishing.owners import Owner, own

#: After how long a claim of another host counts as abandoned: nothing renews it while files are uploaded.
CLAIM_SECONDS = 24 * 3600.0
#: How long a change of the deployment waits for another one.
LOCK_SECONDS = 60.0
_SMALL = "batching_params.pbtxt"  # what a deployment writes into a version, beside the manifest


@dataclass(frozen=True)
class Store:
    """A folder of a file system of fsspec."""

    url: str
    fs: Any
    root: str

    @classmethod
    def at(cls, url: str) -> Store:
        """Raises OutputError: no file system of that name, or its package is missing."""
        try:
            import fsspec

            # Only file systems with real folders need them made; a bucket that is missing stays missing.
            options = {"auto_mkdir": True} if url.startswith(("file:", "local:")) else {}
            fs, root = fsspec.core.url_to_fs(url.rstrip("/"), **options)
        except ImportError as error:
            raise OutputError(f"{url}: {error}; {installing('remote')}") from None
        except ValueError as error:
            raise OutputError(f"{url}: {error}") from None
        return cls(url.rstrip("/"), fs, root.rstrip("/"))

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def files(self) -> dict[str, int]:
        """Name below the root -> bytes."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.find(self.root, detail=True)
        except FileNotFoundError:
            return {}
        names = {path.removeprefix(self.root).lstrip("/"): item for path, item in found.items()}
        return {name: item["size"] for name, item in names.items() if name and item["type"] == "file"}

    def create(self, name: str, content: bytes) -> bool:
        """Writes a file that does not exist; False where it does."""
        try:
            self.fs.pipe_file(self.path(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, names: list[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                self.fs.rm_file(self.path(name))


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """What a store's library raises becomes an OutputError: each has errors of its own."""
    try:
        yield
    except GenserveError:
        raise
    except Exception as error:
        raise OutputError(f"{url} cannot be reached: {type(error).__name__}: {error}") from error


def complete(files: dict[str, int]) -> dict[tuple[str, int], list[str]]:
    """(model, number) -> the files of every version whose manifest is there."""
    versions: dict[tuple[str, int], list[str]] = {}
    for file in files:
        name, _, rest = file.partition("/")
        number, _, inside = rest.partition("/")
        if inside and number.isascii() and number.isdecimal() and f"{name}/{number}/{MANIFEST_PATH}" in files:
            versions.setdefault((name, int(number)), []).append(file)
    return versions


@contextmanager
def claimed(url: str, name: str, version: int | None, *, force: bool) -> Iterator[int]:
    """Holds a number of model ``name`` while its files are uploaded; an error takes away what was uploaded.

    Raises:
      OutputError: the version exists and ``force`` is not set, or another export holds it.
    """
    store, owner = Store.at(url), own()
    with reaching(url):
        number = _claim(store, name, version, owner, force=force)
    try:
        yield number
    finally:
        with reaching(url):
            files = store.files()
            if (name, number) not in complete(files):
                store.remove([file for file in files if file.startswith(f"{name}/{number}/")])
            store.remove([f"{name}/.reserved-{number}"])


def _claim(store: Store, name: str, version: int | None, owner: Owner, *, force: bool) -> int:
    while True:
        files = store.files()
        _remove_abandoned(store, files, f"{name}/.reserved-")
        parts = [file.split("/") for file in store.files() if file.startswith(f"{name}/")]
        exists = {int(part[1]) for part in parts if len(part) > 2 and part[1].isdecimal()}
        held = {
            int(part[1][10:])
            for part in parts
            if part[1].startswith(".reserved-") and part[1][10:].isdecimal()
        }
        number = version if version is not None else max(exists | held, default=0) + 1
        if number in exists and not force:
            raise OutputError(
                f"version {number} exists in {store.url}/{name}: give --force, or another --version"
            )
        if store.create(f"{name}/.reserved-{number}", owner.name.encode()):
            return number
        if version is not None:
            raise OutputError(
                f"version {number} of {store.url}/{name} is being exported: wait for it, or give another "
                f"--version (of an export that is gone, remove {store.url}/{name}/.reserved-{number})"
            )


def _remove_abandoned(store: Store, files: dict[str, int], prefix: str) -> None:
    for file in files:
        if not file.startswith(prefix):
            continue
        with suppress(FileNotFoundError):
            owner = Owner.parse(store.fs.cat_file(store.path(file)).decode("utf-8", "replace"))
            age = time.time() - store.fs.modified(store.path(file)).timestamp()
            if owner is not None and owner.gone(age, CLAIM_SECONDS):
                name, _, number = file.partition("/.reserved-")
                if number.isdecimal() and (name, int(number)) not in complete(files):
                    store.remove([part for part in files if part.startswith(f"{name}/{number}/")])
                store.remove([file])


def upload(directory: Path, url: str, name: str, number: int) -> None:
    """Uploads a version, its manifest last; of a version that is replaced, the manifest goes first."""
    store = Store.at(url)
    prefix, manifest = f"{name}/{number}/", str(MANIFEST_PATH)
    names = [str(path.relative_to(directory)) for path in sorted(directory.rglob("*")) if path.is_file()]
    with reaching(url):
        store.remove([prefix + manifest])
        store.remove([file for file in store.files() if file.startswith(prefix)])
        for file in sorted(names, key=lambda file: file == manifest):
            store.fs.put_file(str(directory / file), store.path(prefix + file))


def split(url: str) -> tuple[str, str]:
    """``OUT[/NAME]`` -> (OUT, NAME or ""): OUT is the folder that holds the versions' folders.

    Raises:
      OutputError: no version below either.
    """
    store = Store.at(url)
    with reaching(url):
        files = store.files()
    if complete(files):
        return store.url, ""
    parent, _, name = store.url.rpartition("/")
    if complete({f"{name}/{file}": size for file, size in files.items()}):
        return parent, name
    raise OutputError(f"{url} holds no version that genserve exported (NAME/VERSION/{MANIFEST_PATH})")


@contextmanager
def mirrored(url: str, *, write: bool = False) -> Iterator[Path]:
    """A local folder that looks like the export directory.

    Manifests and deployment files are there, of all other files an empty one of the same size. With
    ``write``, changes of the deployment files are uploaded in the end, and versions removed that were
    removed; nobody else changes them meanwhile.
    """
    store = Store.at(url)
    with tempfile.TemporaryDirectory(prefix="genserve-") as folder, _lock(store) if write else _open():
        out = Path(folder) / (store.root.rsplit("/", 1)[-1] or "out")
        with reaching(url):
            before = _download_small(store, out)
        yield out
        if write:
            with reaching(url):
                _upload_small(store, out, before)


@contextmanager
def _open() -> Iterator[None]:
    yield


@contextmanager
def _lock(store: Store) -> Iterator[None]:
    name, deadline = "serving/.lock", time.monotonic() + LOCK_SECONDS
    with reaching(store.url):
        while not store.create(name, own().name.encode()):
            _remove_abandoned(store, store.files(), name)
            if time.monotonic() > deadline:
                raise OutputError(
                    f"{store.url}/{name}: another change is under way; of one that is gone, remove it"
                )
            time.sleep(0.2)
    try:
        yield
    finally:
        with reaching(store.url):
            store.remove([name])


def _is_small(file: str) -> bool:
    hidden = file.rsplit("/", 1)[-1].startswith(".")
    return not hidden and (
        file.startswith("serving/") or (file.count("/") == 2 and file.endswith(f"/{_SMALL}"))
    )


def _download_small(store: Store, out: Path) -> dict[str, bytes | None]:
    """Fills ``out``; returns the contents of the deployment files, and None for all others."""
    out.mkdir()
    files = store.files()
    versions = [file for names in complete(files).values() for file in names]
    before: dict[str, bytes | None] = {}
    for file in [file for file in files if file.startswith("serving/") and _is_small(file)] + versions:
        path = out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_small(file) or file.endswith(f"/{MANIFEST_PATH}"):
            path.write_bytes(store.fs.cat_file(store.path(file)))
            path.chmod(0o755 if path.suffix == ".sh" else 0o644)
        else:
            path.touch()
            os.truncate(path, files[file])
        before[file] = path.read_bytes() if _is_small(file) else None
    return before


def _upload_small(store: Store, out: Path, before: dict[str, bytes | None]) -> None:
    if (out / "serving" / "ssl.config").exists():
        raise OptionError(f"ssl: a private key is not written to {store.url}; give it where the server runs")
    gone = [file for file in before if not (out / file).exists()]
    store.remove(sorted(gone, key=lambda file: not file.endswith(f"/{MANIFEST_PATH}")))
    after = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    small = [file for file in after if _is_small(file)]
    # models.config last: what it names is there.
    for file in sorted(small, key=lambda file: file.startswith("serving/models")):
        content = after[file].read_bytes()
        if content != before.get(file):
            store.fs.pipe_file(store.path(file), content)


def pull(url: str, directory: Path) -> list[str]:
    """Copies an export directory to disk: versions that are not there yet, each whole, then serving/.

    A version of the same number that was exported at another time is replaced. Versions that the store does
    not hold anymore stay.

    Returns:
      ``NAME/VERSION`` of every version copied.

    Raises:
      OutputError: the URL cannot be read or holds no version, or the folder cannot be written.
    """
    store, copied = Store.at(url), []
    with reaching(url):
        files = store.files()
    versions = complete(files)
    if not versions:
        raise OutputError(f"{url} holds no version that genserve exported (NAME/VERSION/{MANIFEST_PATH})")
    for (name, number), names in sorted(versions.items()):
        prefix = f"{name}/{number}/"
        with reaching(url):
            manifest = store.fs.cat_file(store.path(f"{prefix}{MANIFEST_PATH}"))
        if _has(directory / name / str(number), manifest):
            continue
        with staged_version(directory / name, number, force=True) as staged, reaching(url):
            for file in names:
                target = staged.path / file.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                store.fs.get_file(store.path(file), str(target))
        copied.append(f"{name}/{number}")
    _pull_serving(store, files, directory)
    return copied


def _has(directory: Path, manifest: bytes) -> bool:
    """Whether the version is there already, as exported at that time."""
    try:
        return Manifest.read(directory).created == Manifest.model_validate_json(manifest).created
    except (OSError, ValueError):
        return False


def _pull_serving(store: Store, files: dict[str, int], directory: Path) -> None:
    from exporter import durable

    names = [file for file in files if _is_small(file)]
    for file in sorted(names, key=lambda file: file.startswith("serving/models")):
        with reaching(store.url):
            text = store.fs.cat_file(store.path(file)).decode("utf-8")
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if file.endswith("options.yaml") else 0o755 if file.endswith(".sh") else 0o644
        durable.write_text(directory / file, text, mode)
