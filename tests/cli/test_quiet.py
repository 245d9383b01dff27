"""Start-up lines stay off the terminal, errors do not; what goes wrong is one message and an exit code."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HERE = Path(__file__).parent
#: As TensorFlow 2.19 - 2.21 wrote them, on machines without a GPU and with one.
NOISE = (HERE / "startup_lines.txt").read_text()
#: Nearly like them, the last one without its newline.
OTHERS = (HERE / "other_lines.txt").read_text().removesuffix("\n")


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "GENSERVE_LOG"} | environment
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=given, cwd=ROOT
    )


def test_known_lines_are_dropped_and_the_last_words_of_a_crash_arrive() -> None:
    code = "import os; from exporter.cli.quiet import quiet; quiet(); os.write(2, {!r}.encode()); os.abort()"
    result = _python(code.format(NOISE + OTHERS))
    assert result.returncode == -signal.SIGABRT
    assert result.stderr == OTHERS
    loud = _python(code.format(NOISE + OTHERS), GENSERVE_LOG="tensorflow")
    assert loud.stderr == NOISE + OTHERS


def test_python_writes_past_the_reader_and_a_real_server_may_too() -> None:
    """What stands in the pipe would come out in another order than what Python writes."""
    result = _python(
        "import os, sys; from exporter.cli.quiet import loud, quiet; quiet()\n"
        "print('I0000 00:00:1.0 1 python.cc:1] kept', file=sys.stderr); loud()\n"
        "os.system('echo \"2026-01-01 00:00:00.0: I server.cc:1] kept\" >&2')"
    )
    assert result.stderr.splitlines() == [
        "I0000 00:00:1.0 1 python.cc:1] kept",
        "2026-01-01 00:00:00.0: I server.cc:1] kept",
    ]


def test_the_setting_is_checked() -> None:
    result = _python("from exporter.cli import main; main()", GENSERVE_LOG="tensorflo")
    assert result.returncode == 2
    expected = "error: GENSERVE_LOG: 'tensorflo' (did you mean 'tensorflow'?); allowed: tensorflow\n"
    assert result.stderr == expected


def _failing(body: str) -> str:
    """A command line whose verb does ``body``."""
    return (
        "import os, sys, exporter.cli as cli\n"
        f"@cli.app.command()\ndef fail():\n    {body}\n"
        "sys.argv = ['genserve', 'fail']\ncli.main()"
    )


def test_an_unexpected_error_is_one_sentence_and_a_file(tmp_path: Path) -> None:
    result = _python(_failing("raise KeyError('one\\ntwo')"), TMPDIR=str(tmp_path))
    assert result.returncode == 1
    (log,) = tmp_path.iterdir()
    assert result.stderr == f"error: unexpected KeyError: 'one\\ntwo'; the full traceback is in {log}\n"
    text = log.read_text()
    assert "genserve fail" in text
    assert "Traceback (most recent call last)" in text
    assert text.endswith("KeyError: 'one\\ntwo'\n")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_of_a_long_message_the_first_line(tmp_path: Path) -> None:
    result = _python(_failing("raise ValueError('one\\ntwo')"), TMPDIR=str(tmp_path))
    (log,) = tmp_path.iterdir()
    assert result.stderr == f"error: unexpected ValueError: one; the full traceback is in {log}\n"
    assert "two" in log.read_text()


def test_an_unexpected_error_is_told_where_no_file_can_be_written() -> None:
    body = "import tempfile; tempfile.tempdir = '/proc/nothing'; raise ValueError"
    result = _python(_failing(body))
    assert result.returncode == 1
    assert result.stderr.startswith("error: unexpected ValueError; please report it with what follows\n")
    assert "Traceback (most recent call last)" in result.stderr


def test_an_error_of_genserve_is_its_message() -> None:
    result = _python(_failing("from exporter.errors import OutputError; raise OutputError('full')"))
    assert (result.returncode, result.stdout, result.stderr) == (5, "", "error: full\n")


def test_an_interrupt_is_quiet() -> None:
    """Whoever runs the tests in the background has its children ignore the signal."""
    heard = "import signal, time; signal.signal(2, signal.default_int_handler)"
    result = _python(_failing(f"{heard}; os.kill(os.getpid(), 2); time.sleep(60)"))
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("verb", "choices"),
    [
        ("export", "auto|float32|bfloat16|float16 gpu|cpu plain|int8 auto|none"),
        ("export", "error|truncate_left|truncate_right answer|raise"),
        ("export", "none|minimal|full score|prompt_tokens|truncated auto|on|off keep|apart|drop"),
        ("export", "generate|generate_tokens|resume|score|next_token|prompt_logprobs"),
        ("serve", "auto|preview|tensorflow_model_server|docker gpu|cpu"),
        ("warm", "gpu|cpu"),
        ("config", "2.19|2.20|2.21"),
    ],
)
def test_choices_are_choices_in_help(verb: str, choices: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "exporter", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "200"},
        cwd=ROOT,
    )
    for choice in choices.split():
        assert re.search(rf"[\[<]{re.escape(choice)}[\]>]", result.stdout), result.stdout


def test_a_wrong_choice_is_named_with_those_that_are() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "exporter", "warm", "out", "--device", "tpu"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 2
    assert "'tpu' is not one of 'gpu', 'cpu'" in result.stderr
