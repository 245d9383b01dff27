"""What a user is told of an exception that genserve did not raise on purpose."""

from __future__ import annotations

import platform
import shlex
import sys
import tempfile
import traceback

from exporter import __version__


def unexpected(error: BaseException) -> str:
    """One sentence: what it was, and the file that holds the full traceback.

    The file lies in the directory for temporary files, readable by its owner only: the command line, which it
    holds too, may name what is nobody else's business. Where it cannot be written, the traceback follows.
    """
    reason = str(error).strip().splitlines()[:1]
    sentence = f"unexpected {': '.join([type(error).__name__, *reason])}"
    details = _details(error)
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="genserve-", suffix=".log", delete=False
        ) as file:
            file.write(details)
    except OSError:
        return f"{sentence}; please report it with what follows\n{details}"
    return f"{sentence}; the full traceback is in {file.name}"


def _details(error: BaseException) -> str:
    """What a report of the error should hold; TensorFlow's version only where it was loaded."""
    tensorflow = getattr(sys.modules.get("tensorflow"), "__version__", "not loaded")
    head = (
        f"genserve {__version__}, Python {platform.python_version()}, TensorFlow {tensorflow}, "
        f"{platform.platform()}\n{shlex.join(sys.argv)}\n\n"
    )
    return head + "".join(traceback.format_exception(error))
