"""The compilation cache is used only where it fits; the bash launcher and the Python check agree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.choices import Device
from exporter.errors import OutputError
from serving_configs import render, xla_cache
from serving_configs.xla_cache import Facts
from tests.conftest import ROOT
from tests.serving_configs.manifests import manifest

CPUINFO = (
    "processor\t: 0\nmodel name\t: X\nflags\t\t: fpu avx2  avx512f fma\n\nprocessor\t: 1\nflags\t\t: fpu\n"
)
VERSION = "2.21.0"


class Machine:
    """A pretended machine: its server, CPU and GPU, and a published cache."""

    def __init__(self, folder: Path, device: Device = "cpu") -> None:
        self.device = device
        self.root = folder / "xla-cache"
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.cpuinfo = folder / "cpuinfo"
        self.cpuinfo.write_text(CPUINFO)
        self.launcher = folder / "start-server.sh"
        self.launcher.write_text(render([manifest()])["start-server.sh"])
        self.gpu = "NVIDIA H200, 570.1" if device == "gpu" else ""
        self.set_version(VERSION)
        self.set_gpu("NVIDIA H200, 570.1")

    def program(self, name: str, body: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def set_version(self, version: str) -> None:
        self.version = version
        self.program(
            "tensorflow_model_server",
            'if [ "$1" = --version ]; then\n'
            f"  echo 'TensorFlow ModelServer: {version}-rc1'\n"
            f"  echo 'TensorFlow Library: {version}'\n  exit\nfi\n"
            'echo "flags=$TF_XLA_FLAGS"; echo "arguments=$*"',
        )

    def set_gpu(self, line: str) -> None:
        self.program("nvidia-smi", f"echo '{line}'; echo '{line}'")

    def facts(self) -> Facts:
        gpu = ""
        if self.device == "gpu":
            output = subprocess.run(
                [self.programs / "nvidia-smi"], capture_output=True, text=True, check=True
            )
            gpu = ";".join(sorted(set(output.stdout.splitlines())))
        return Facts(self.version, self.device, xla_cache.cpu_features(self.cpuinfo), gpu)

    def publish(self) -> Path:
        scratch = self.root.parent / "scratch"
        scratch.mkdir()
        (scratch / "one.pb").write_bytes(b"\x00program" * 100)
        (scratch / "two.pb").write_bytes(b"second")
        return xla_cache.publish(scratch, self.root, self.facts())

    def start(self, **environment: str) -> tuple[str, str]:
        """Runs the launcher; gives the server's output and the launcher's log."""
        variables = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "XLA_CACHE": str(self.root),
            "GENSERVE_DEVICE": self.device,
            "CPUINFO": str(self.cpuinfo),
        } | environment
        result = subprocess.run(
            ["bash", self.launcher, "--port=8500", "--model_config_file=a b"],
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "arguments=--port=8500 --model_config_file=a b" in result.stdout
        return result.stdout, result.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_fitting_cache_is_used(tmp_path: Path, device: Device) -> None:
    machine = Machine(tmp_path, device)
    directory = machine.publish()
    assert directory.name == f"{VERSION}-{device}"
    assert xla_cache.problem(directory, machine.facts()) is None
    output, log = machine.start(TF_XLA_FLAGS="--already=1")
    assert f"flags=--already=1 {xla_cache.flags(directory)}\n" in output
    assert "using compilation cache" in log


def other_cpu(machine: Machine, directory: Path) -> None:
    machine.cpuinfo.write_text(CPUINFO.replace("avx512f", ""))


def truncated(machine: Machine, directory: Path) -> None:
    path = directory / "one.pb"
    path.write_bytes(path.read_bytes()[:-1])


def emptied(machine: Machine, directory: Path) -> None:
    (directory / "one.pb").write_bytes(b"")


def added(machine: Machine, directory: Path) -> None:
    (directory / "three.pb").write_bytes(b"half an entry")


def removed(machine: Machine, directory: Path) -> None:
    (directory / "two.pb").unlink()


def swapped(machine: Machine, directory: Path) -> None:
    (directory / "two.pb").rename(directory / "three.pb")


def no_manifest(machine: Machine, directory: Path) -> None:
    (directory / xla_cache.MANIFEST).unlink()


def no_cache(machine: Machine, directory: Path) -> None:
    shutil.rmtree(machine.root)


def other_format(machine: Machine, directory: Path) -> None:
    path = directory / xla_cache.MANIFEST
    path.write_text(path.read_text().replace("# format=1", "# format=2"))


def other_version(machine: Machine, directory: Path) -> None:
    machine.set_version("2.21.1")
    directory.rename(directory.with_name("2.21.1-cpu"))


CASES: list[tuple[Callable[[Machine, Path], None], str]] = [
    (other_cpu, "compiled for another cpu"),
    (truncated, "a file is damaged"),
    (emptied, "a file is damaged"),
    (added, "files were added or are missing"),
    (removed, "files were added or are missing"),
    (swapped, "a file is damaged"),
    (no_manifest, "no manifest"),
    (no_cache, "no manifest"),
    (other_format, "compiled for another format"),
    (other_version, "compiled for another tensorflow"),
]


@pytest.mark.parametrize(("change", "reason"), CASES, ids=[change.__name__ for change, _ in CASES])
def test_a_cache_that_does_not_fit_is_left_alone(
    machine: Machine, change: Callable[[Machine, Path], None], reason: str
) -> None:
    change(machine, machine.publish())
    facts = machine.facts()
    assert reason in (xla_cache.problem(machine.root / facts.folder, facts) or "")
    output, log = machine.start()
    assert "flags=\n" in output
    assert reason in log
    assert "is not used" in log


def test_another_gpu_or_driver(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "gpu")
    directory = machine.publish()
    for line in ("NVIDIA H100, 570.1", "NVIDIA H200, 575.0"):
        machine.set_gpu(line)
        assert "another gpu" in (xla_cache.problem(directory, machine.facts()) or "")
        assert "another gpu" in machine.start()[1]


def test_without_a_cache_root_nothing_is_said(machine: Machine) -> None:
    output, log = machine.start(XLA_CACHE="")
    assert "flags=\n" in output
    assert log == ""


def test_a_new_cache_replaces_the_old_one(machine: Machine) -> None:
    machine.publish()
    scratch = machine.root.parent / "again"
    (scratch / "nested").mkdir(parents=True)
    (scratch / "nested" / "only.pb").write_bytes(b"new")
    directory = xla_cache.publish(scratch, machine.root, machine.facts())
    assert sorted(path.name for path in directory.iterdir()) == [xla_cache.MANIFEST, "nested"]
    assert [path.name for path in machine.root.iterdir()] == [directory.name]
    assert "using compilation cache" in machine.start()[1]
    empty = machine.root.parent / "empty"
    empty.mkdir()
    with pytest.raises(OutputError, match="the warmup compiled nothing"):
        xla_cache.publish(empty, machine.root, machine.facts())


COMPILE = """
import sys
from pathlib import Path
from serving_configs import xla_cache
root = Path(sys.argv[1])
if sys.argv[2] == "use":
    reason = xla_cache.activate(root)
    assert reason is None, reason
import tensorflow as tf
@tf.function(jit_compile=True)
def f(x):
    return tf.sin(x) * 2 + tf.reduce_sum(x)
for size in map(int, sys.argv[3:]):
    f(tf.ones([size]))
"""


@pytest.mark.end_to_end
def test_tensorflow_reads_a_published_cache_and_never_writes_it(tmp_path: Path) -> None:
    """A real cache: one process fills it, another uses it, and meets a new shape without touching it."""
    root, scratch = tmp_path / "xla-cache", tmp_path / "scratch"
    scratch.mkdir()

    def run(*arguments: str, **environment: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", COMPILE, str(root), *arguments],
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0"} | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        return result.stderr

    run("fill", "3", "5", TF_XLA_FLAGS=f"--tf_xla_persistent_cache_directory={scratch}")
    directory = xla_cache.publish(scratch, root, xla_cache.machine_facts("cpu"))
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert len(before) >= 3
    run("use", "3", "5", "7")
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    assert xla_cache.problem(directory, xla_cache.machine_facts("cpu")) is None
