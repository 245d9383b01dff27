"""``scripts/new_family``: what it writes is the family, or says what it could not decide."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from exporter.families import read_spec
from exporter.families.config_keys import read_table
from tests.conftest import ROOT

WHERE = ("exporter", "scripts", "tests/families", "tests/encoder_decoder")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script reads and writes, without arcee and glm4."""
    if read_table()["transformers"] != metadata.version("transformers"):
        pytest.skip("the families are of another version of transformers")
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "data", "*.zip", "benchmarks")
    for folder in WHERE:
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py", "docs/support-families.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for model_type in ("arcee", "glm4"):
        _forget(root, model_type)
    (root / "exporter" / "families" / "arcee.py").unlink()
    return root


def _forget(root: Path, model_type: str) -> None:
    registry = root / "exporter" / "families" / "registry.py"
    lines = registry.read_text().splitlines(keepends=True)
    gone = (f'    "{model_type}": ', f"    {model_type},")
    registry.write_text("".join(line for line in lines if not line.startswith(gone)))
    cases = root / "tests" / "families" / "cases_kin2.py"
    block = rf'    FamilyCases\(\n        "{model_type}",\n(?:(?!    FamilyCases).*\n)*?    \),\n'
    text, count = re.subn(block, "", cases.read_text())
    assert count == 1
    cases.write_text(text)


def run(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    env = {**os.environ, "PYTHONPATH": str(root)}
    result = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0 or not check, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def arcee(copy: Path) -> str:
    return run(copy, "scripts/new_family.py", "arcee").stdout


def spec_in(root: Path, model_type: str) -> subprocess.CompletedProcess[str]:
    code = f"from exporter.families import read_spec; print(read_spec({{'model_type': {model_type!r}}}))"
    return run(root, "-c", code, check=False)


def test_a_plain_family_is_written_whole(copy: Path, arcee: str) -> None:
    assert "Nothing is left to decide." in arcee
    assert spec_in(copy, "arcee").stdout.strip() == str(read_spec({"model_type": "arcee"}))
    assert '"arcee": {' in (copy / "exporter" / "families" / "config_keys.json").read_text()
    assert "| `arcee` | Arcee | defaults; " in (copy / "docs" / "support-families.md").read_text()
    written = (copy / "exporter" / "families" / "arcee.py").read_text()
    assert len(written.splitlines()) < 40
    assert "RopeLayout" not in written, "what it does not need it does not import"


def test_what_is_not_decided_is_refused_by_name(copy: Path) -> None:
    """GLM-4's joined projection of gate and up is not Llama's."""
    answer = run(copy, "scripts/new_family.py", "glm4").stdout
    assert "Glm4 has no up_proj" in answer
    refused = spec_in(copy, "glm4")
    assert refused.returncode != 0
    assert "TODO in exporter/families/glm4.py: Glm4 has no up_proj" in refused.stderr
    written = (copy / "exporter" / "families" / "glm4.py").read_text()
    assert 'attention_out_norm="post_self_attn_layernorm"' in written, "the rest it has read"
    assert "partial=0.5" in written
    assert "INTERLEAVED" in written


@pytest.mark.parametrize(
    ("model_type", "message"),
    [("llama", "llama is supported already"), ("nonsense", "has no 'nonsense' that generates text")],
)
def test_other_types(copy: Path, model_type: str, message: str) -> None:
    result = run(copy, "scripts/new_family.py", model_type, check=False)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.full
def test_what_is_written_passes_parity(copy: Path, arcee: str) -> None:
    tests = [f"tests/families/test_{name}.py" for name in ("parity", "checkpoints", "config_keys")]
    answer = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "arcee", "--full").stdout
    assert re.search(r"\d\d passed", answer)
