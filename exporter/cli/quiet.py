"""Keeps the start-up lines of TensorFlow, absl, CUDA and transformers off the user's terminal.

Most of them follow environment variables and Python's own settings, which must be there before the imports.
What C++ writes before it has read any setting goes straight to file descriptor 2: that becomes a pipe, and a
forked reader passes on every line but the known ones. A process of its own, so that the last words of one
that aborts arrive too. Python's ``sys.stderr`` keeps the real descriptor, and with it the terminal.

``GENSERVE_LOG=tensorflow`` leaves everything as it is.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import warnings

from exporter.errors import OptionError, did_you_mean

VARIABLE = "GENSERVE_LOG"
_ALLOWED = ("tensorflow",)
_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # errors
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",  # such as that PyTorch is not there, which nobody needs
    "TRANSFORMERS_VERBOSITY": "error",
}
# absl's "I0000 00:00:1795748790.188526    7061 port.cc:1] ", and "2026-01-01 00:00:00.0: I port.cc:1] ".
_PREFIX = rb"(?:%s\d{4} [\d:.]+ +\d+ |\d{4}-\d\d-\d\d [\d:.]+: %s )\S+\] "
_INFORMATION = _PREFIX % (b"I", b"I")
_ANY = _PREFIX % (b"[WE]", b"[WE]")
#: Whole lines: information, and what TensorFlow calls a warning or an error on every start.
_NOISE = re.compile(
    b"|".join(
        (
            rb"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
            _INFORMATION + b".*",
            rb"To enable the following instructions: .* rebuild TensorFlow .*",
            # No GPU here: no driver (303), or none that may be used. Other failures of cuInit are passed on.
            _ANY + rb"failed call to cuInit: .*(?:\(303\)|no CUDA-capable device is detected.*)",
            _ANY + rb"Unable to register cu(?:DNN|FFT|BLAS) factory: .*",
            _ANY + rb"computation placer already registered.*",
            _ANY + rb"TF-TRT Warning: Could not find TensorRT",
            _ANY + rb"oneDNN supports \w+ only on platforms with AVX-512\. Falling back .*",
            # A filled compilation cache: entries are tried as text first; preferences are no features.
            _ANY + rb"Error parsing text-format tensorflow\.XlaSerializedCacheEntry: .*",
            _ANY + rb".*Target machine feature \+prefer-no-(?:scatter|gather) is not +supported .*",
        )
    )
)
_real: int | None = None  # the descriptor that was 2, while a reader stands between


def quiet() -> None:
    """Call it first, before anything heavy is imported and before any thread.

    Does nothing in a process that has replaced ``sys.stderr``: it is not the command line's own.

    Raises:
      OptionError: ``GENSERVE_LOG`` is set to something unknown.
    """
    given = os.environ.get(VARIABLE, "")
    if given:
        if given not in _ALLOWED:
            hint = did_you_mean(given, _ALLOWED)
            raise OptionError(f"{VARIABLE}: {given!r}{hint}; allowed: {', '.join(_ALLOWED)}")
        return
    if sys.stderr is not sys.__stderr__:
        return
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not sys.warnoptions:  # set by -W and PYTHONWARNINGS
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
    _filter_descriptor()


def loud() -> None:
    """Gives descriptor 2 back, for a program whose whole log is the user's."""
    if _real is not None:
        os.dup2(_real, 2)


def _filter_descriptor() -> None:
    global _real
    if sys.stderr is None:  # closed by whoever started this process
        return
    _real = os.dup(2)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        _pass_on(reading, _real)
    os.close(reading)
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = open(  # noqa: SIM115  (as long as the process)
        _real, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace", closefd=False
    )


def _pass_on(source: int, target: int) -> None:
    """The reader: copies lines until nobody can write any more, and ends. It outlives a Ctrl-C."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # or they would stay open for others who wait for their end
            os.dup2(nothing, descriptor)
        rest = b""
        while block := os.read(source, 1 << 16):
            *lines, rest = (rest + block).split(b"\n")
            os.write(target, b"".join(line + b"\n" for line in lines if not _NOISE.fullmatch(line)))
        os.write(target, rest)
    finally:
        os._exit(0)
