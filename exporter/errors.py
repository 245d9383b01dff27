"""The one error tree; the CLI prints the message and exits with the class's code.

    GenserveError              1   anything below, caught in one place
    ├── OptionError            2   an option, job file or flag is wrong
    ├── CheckpointError        3   missing, broken or unsafe checkpoint files
    ├── UnsupportedError       4   well-formed, but nothing exact can be built from it
    │   └── TokenizerUnsupportedError   names the node by its path in its file
    ├── OutputError            5   the export directory refuses (version exists, not writable)
    ├── VerificationError      6   the artifact differs from the reference
    ├── ServingError           7   no server started, an answer was an error, no row of a corpus was answered
    └── MissingExtraError      8   this install lacks packages that the work needs

Messages name the field, its value and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class GenserveError(Exception):
    """Base of every error that genserve raises on purpose."""

    exit_code = 1


class OptionError(GenserveError):
    """An option is out of range, contradicts another, or is unknown."""

    exit_code = 2


class CheckpointError(GenserveError):
    """Checkpoint files are missing, damaged or of an unsafe kind."""

    exit_code = 3


class UnsupportedError(GenserveError):
    """The input is valid, but cannot be reproduced exactly in the graph."""

    exit_code = 4


class TokenizerUnsupportedError(UnsupportedError):
    """A tokenizer node has no exact translation; ``path`` is its place in ``file``."""

    def __init__(self, path: str, reason: str, file: str = "tokenizer.json") -> None:
        super().__init__(
            f"{file}: {path}: {reason}; '--tokenizer none' exports the model without text signatures"
        )
        self.path, self.reason = path, reason

    def of(self, file: str) -> TokenizerUnsupportedError:
        """The same refusal, of a tokenizer that was read from other files."""
        return TokenizerUnsupportedError(self.path, self.reason, file)


class OutputError(GenserveError):
    """The export directory cannot take what was asked for."""

    exit_code = 5


class VerificationError(GenserveError):
    """An artifact does not answer as the reference does."""

    exit_code = 6


class ServingError(GenserveError):
    """A server did not start, or answered a request with an error."""

    exit_code = 7


class MissingExtraError(GenserveError, ImportError):
    """This install holds the client alone, or an extra is needed."""

    exit_code = 8


#: What the extra ``gateway`` installs.
GATEWAY_PACKAGES = frozenset({"prometheus_client", "starlette", "uvicorn"})
#: What the extra ``beam`` installs.
BEAM_PACKAGES = frozenset({"apache_beam", "pyarrow"})
#: What the extra ``bench`` installs, of what the command line draws with.
BENCH_PACKAGES = frozenset({"matplotlib"})
#: What the extra ``export`` installs, by the names that are imported.
EXPORT_PACKAGES = frozenset(
    {
        "h5py",
        "huggingface_hub",
        "jsonschema",
        "keras",
        "ml_dtypes",
        "regex",
        "sentencepiece",
        "starlette",
        "tensorflow",
        "tensorflow_serving",
        "tensorflow_text",
        "tokenizers",
        "transformers",
        "uvicorn",
    }
)


def missing_extra(what: str, error: ModuleNotFoundError) -> Exception:
    """What to raise where ``what`` misses a package: the extra to install; ``error`` where it is none's."""
    package = (error.name or "").partition(".")[0]
    if package in GATEWAY_PACKAGES and (what == "genserve gateway" or package not in EXPORT_PACKAGES):
        extra = "gateway"
    elif package in BEAM_PACKAGES:
        extra = "beam"
    elif package in BENCH_PACKAGES:
        extra = "bench"
    elif package in EXPORT_PACKAGES:
        extra = "export"
    else:
        return error
    return MissingExtraError(f"{what} needs {package}, which is not installed: {installing(extra)}")


def installing(*extras: str) -> str:
    """The commands for extras: genserve is on no package index, where its name may be anybody's."""
    chosen = f"[{','.join(extras)}]"
    return (
        f"pip install '.{chosen}' in genserve's checkout, or "
        f"pip install 'genserve-VERSION-py3-none-any.whl{chosen}'"
    )


def raise_all(error: type[GenserveError], headline: str, problems: Sequence[str]) -> None:
    """Raises one ``error`` that lists every problem; does nothing when there is none."""
    if problems:
        raise error("\n".join([headline, *(f"  - {problem}" for problem in problems)]))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the nearest known word, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def shown(value: object, longest: int = 60) -> str:
    """A value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
