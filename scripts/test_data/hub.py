"""Where the Hugging Face hub holds a file with a given content."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from test_data.download import UnreachableError
from test_data.table import Entry, FetchError, HubFile

#: How many commits are looked through, newest first.
HISTORY = 300
#: What the hub's library raises: httpx.HTTPError in 1.x, httpx2.HTTPError in 2.x.
HttpError: type[Exception] = HfHubHTTPError.__bases__[0]


class GatedError(FetchError):
    """A repository whose terms this user has not accepted."""

    def __init__(self, repo: str) -> None:
        self.repo = repo
        super().__init__(f"{repo} is gated")

    @property
    def advice(self) -> str:
        """What to do."""
        return (
            f"{self.repo} is gated: accept its terms at {constants.ENDPOINT}/{self.repo}, log in with "
            "`hf auth login` (or set HF_TOKEN), and run this again"
        )


class Hub:
    """The hub as HF_ENDPOINT and the user's token (HF_TOKEN, ``hf auth login``) give it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = build_hf_headers()
        self._api = HfApi()
        #: Repository -> its commits, newest first.
        self._history: dict[str, list[str]] = {}
        #: Repository -> the commits where files of it were found: the next one is likely there.
        self._found: dict[str, list[str]] = {}

    def locate(self, entry: Entry, file: HubFile) -> str:
        """The commit to fetch an entry from: the known one, or else the newest that holds the content.

        Raises:
          GatedError, UnreachableError, FetchError: it cannot be said, or there is none.
        """
        for revision in islice(self._revisions(file), HISTORY):
            commit = self._commit_with(entry, file, revision)
            if commit:
                self._found.setdefault(file.repo, []).append(commit)
                return commit
        raise FetchError(
            f"none of the last {HISTORY} commits of {file.repo} has {file.path} with sha256 {entry.sha256}"
        )

    def _revisions(self, file: HubFile) -> Iterator[str]:
        """Each once, the likely ones first; the history is asked for only when it is needed."""
        seen = {}
        for revision in (file.revision or constants.DEFAULT_REVISION, *self._found.get(file.repo, ())):
            if revision not in seen:
                yield revision
            seen[revision] = True
        yield from (commit for commit in self._commits(file.repo) if commit not in seen)

    def _commit_with(self, entry: Entry, file: HubFile, revision: str) -> str | None:
        """The commit that a revision names, if the file has the entry's content there."""
        url = hf_hub_url(file.repo, file.path, revision=revision)
        try:
            metadata = get_hf_file_metadata(url, headers=self.headers)
        except (EntryNotFoundError, RevisionNotFoundError):
            return None
        except (HttpError, OSError) as error:
            raise _told(file.repo, error) from error
        return metadata.commit_hash if metadata.etag in (entry.sha256, file.blob) else None

    def _commits(self, repo: str) -> list[str]:
        if repo not in self._history:
            try:
                commits = self._api.list_repo_commits(repo)
            except (HttpError, OSError) as error:
                raise _told(repo, error) from error
            self._history[repo] = [commit.commit_id for commit in commits]
        return self._history[repo]

    def url(self, file: HubFile, commit: str) -> str:
        return hf_hub_url(file.repo, file.path, revision=commit)


def _told(repo: str, error: Exception) -> FetchError:
    """What a failed request means for the user."""
    if isinstance(error, GatedRepoError):
        return GatedError(repo)
    if isinstance(error, OfflineModeIsEnabled):
        return UnreachableError(constants.ENDPOINT, OfflineModeIsEnabled("HF_HUB_OFFLINE is set"))
    if isinstance(error, RepositoryNotFoundError):
        return FetchError(f"{repo} is not on {constants.ENDPOINT}, or is private, or the token is not valid")
    if isinstance(error, HfHubHTTPError):
        return FetchError(f"{constants.ENDPOINT} answers {error.response.status_code} for {repo}")
    return UnreachableError(constants.ENDPOINT, error)
