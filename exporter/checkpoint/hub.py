"""Downloads from the Hugging Face hub: the files that an export reads, and no others.

The small files come first; they say which weights there are to read (``files.weights_entry``, the same rule
as for a directory). Pickles and code are never fetched. Everything lands in the hub's own cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, cast

from huggingface_hub import HfApi, constants, hf_hub_download, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from exporter.checkpoint.checkpoint import read_json
from exporter.checkpoint.files import (
    adapter_weights,
    is_inside,
    names_adapter,
    no_config,
    shards,
    weights_entry,
)
from exporter.errors import CheckpointError, raise_all

#: Configuration and tokenizer files. Weights are chosen by name; folders hold other formats (onnx, original).
_SMALL, _FOLDERS = ("*.json", "*.txt", "*.model", "*.spm"), "*/*"
#: The base of what the hub's HTTP library raises (httpx or its successor), and what its downloader does.
_FAILURES = (cast(type[Exception], HfHubHTTPError.__mro__[1]), OSError, RuntimeError)
_LOG_IN = "log in with 'hf auth login' or set HF_TOKEN"


def download(
    model: str, revision: str | None, *, weights: bool = True, adapter: bool = False
) -> tuple[Path, str, tuple[str, ...]]:
    """The snapshot's directory, its commit, and notes; each file of weights draws a bar on a terminal.

    Of an adapter of PEFT the adapter alone is fetched; ``adapter`` says that one is looked for.

    Raises:
      CheckpointError: it cannot be had; says why and what helps.
    """
    with _explained(model, revision):
        path = Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=list(_SMALL),
                ignore_patterns=[_FOLDERS],
                tqdm_class=_Silent,
            )
        )
        commit = path.name
        files, silent = _listing(model, commit, path)
        where = f"{model!r} at {commit[:7]}"
        adapter = adapter or names_adapter(files)
        if "config.json" not in files and not adapter:
            raise CheckpointError(no_config(files, where))
        if weights:
            try:
                names = (
                    adapter_weights(files, where) if adapter else _weights(model, commit, path, files, where)
                )
            except CheckpointError as error:
                raise CheckpointError(f"{error}{_partly(where, silent)}") from error
            for name in names:
                hf_hub_download(model, name, revision=commit)
    return path, commit, (_from_cache(commit, silent),) if silent else ()


def download_file(model: str, name: str, revision: str | None) -> tuple[Path, str]:
    """One file of weights that needs no others, and its commit.

    Raises:
      CheckpointError: it cannot be had; says why and what helps.
    """
    if not is_inside(name):
        raise CheckpointError(f"{model}:{name}: {name!r} must be the name of a file in the repository")
    with _explained(f"{model}:{name}", revision):
        path = Path(hf_hub_download(model, name, revision=revision))
    depth = len(PurePosixPath(name).parts)
    return path, path.parents[depth - 1].name


def _from_cache(commit: str, silent: str) -> str:
    return f"read from the hub's cache at commit {commit}, because the hub did not answer: {silent}"


def _partly(where: str, silent: str) -> str:
    return f"; the hub's cache may hold a part of {where} only, and the hub did not answer: {silent}" * bool(
        silent
    )


class _Silent(tqdm):  # type: ignore[misc]
    """No bar: a dozen small files arrive before one could be read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})


def _listing(model: str, commit: str, path: Path) -> tuple[Collection[str], str]:
    """The repository's files; where the hub does not answer, those that its cache has, and why it did not."""
    try:
        return HfApi().list_repo_files(model, revision=commit), ""
    except _FAILURES as error:
        cached = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        return cached, _first_line(error)


def _weights(model: str, commit: str, path: Path, files: Collection[str], where: str) -> list[str]:
    """The files of weights that an export reads."""
    entry = weights_entry(files, read_json(path / "config.json"), where)
    if not entry.endswith(".index.json"):
        return [entry]
    index = Path(hf_hub_download(model, entry, revision=commit))
    used = shards(read_json(index).get("weight_map"), str(index))
    missing = [f"{name} is missing" for name in used if name not in files]
    raise_all(
        CheckpointError,
        f"{where}: {entry} names shards that are not there (perhaps they are at another --revision):",
        missing,
    )
    return used


@contextmanager
def _explained(model: str, revision: str | None) -> Iterator[None]:
    """Turns what the hub's library raises into a CheckpointError."""
    try:
        yield
    except HFValidationError as error:
        raise CheckpointError(f"{model!r} is neither a directory nor a valid hub id: {error}") from error
    except _FAILURES as error:
        raise CheckpointError(
            f"{model!r} is no local directory, and from the Hugging Face hub {_why(error, model, revision)}"
        ) from error


def _why(error: Exception, model: str, revision: str | None) -> str:
    page = f"{constants.ENDPOINT}/{model}"
    if isinstance(error, GatedRepoError):
        return f"access is gated: accept its terms at {page}, then {_LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        return f"revision {revision!r} does not exist; {page}/tree/main lists its branches and tags"
    if isinstance(error, RepositoryNotFoundError):
        return f"it was not found: check the spelling; if it is private, {_LOG_IN}"
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        cause = error.__cause__ or error
        if is_offline_mode():
            return "it cannot be fetched: HF_HUB_OFFLINE is set, and the cache has no whole copy; unset it"
        return (
            f"it cannot be fetched: {_first_line(cause)}; check the network, HTTPS_PROXY and HF_ENDPOINT, or "
            "download it elsewhere and name its directory"
        )
    if isinstance(error, EntryNotFoundError):
        return f"a file is missing: {_first_line(error)}; choose another --revision"
    return f"it cannot be fetched: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
