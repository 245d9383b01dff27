"""The base install and its extra: what is imported is required, and what is missing is named."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from exporter.errors import BEAM_PACKAGES, EXPORT_PACKAGES, GATEWAY_PACKAGES, installing, missing_extra
from tests.conftest import ROOT
from tests.serving_configs.manifests import manifest

#: Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "google": "protobuf",
    "grpc": "grpcio",
    "tensorflow_serving": "tensorflow-serving-api",
    "yaml": "pyyaml",
}


def _imported() -> set[str]:
    """The packages that the wheel's code imports, wherever it does."""
    names: set[str] = set()
    for path in (path for root in ("exporter", "serving_configs") for path in (ROOT / root).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    packages = {name.partition(".")[0] for name in names}
    return packages - sys.stdlib_module_names - {"exporter", "serving_configs"}


def test_what_is_imported_is_required() -> None:
    """By the base install, by ``export``, whose packages the error message knows, or by a smaller extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    base, extra, *smaller = (
        {canonicalize_name(Requirement(line).name) for line in lines}
        for lines in (
            project["dependencies"],
            *(extras[name] for name in ("export", "beam", "gateway", "remote", "gguf", "keras-hub", "bench")),
        )
    )
    named = {name: canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in _imported()}
    assert set(named.values()) <= base.union(extra, *smaller)
    assert {name for name, distribution in named.items() if distribution in extra} == EXPORT_PACKAGES


_GENERATE = ["--model", "m", "--prompt", "a", "--retries", "0"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["export", "demo:stories", "out"], 8),
        (["inspect", "demo:stories"], 8),
        (["verify-tokenizer", "demo:stories"], 8),
        (["verify", "nowhere"], 8),
        (["verify", "nowhere", "--url", "http://127.0.0.1:9"], 2),
        (["generate", "--url", "http://127.0.0.1:9", *_GENERATE], 7),
        (["generate", "--grpc", "127.0.0.1:9", *_GENERATE], 7),
    ],
)
def test_without_the_extra(tmp_path: Path, arguments: list[str], status: int) -> None:
    """One sentence and how to install it; clients do not need it."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(EXPORT_PACKAGES)!r})); "
        f"sys.argv = ['genserve', *{arguments!r}]; from exporter.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == status, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert ("pip install '.[export]'" in result.stderr) == (status == 8)


_NOWHERE = ["--url", "http://127.0.0.1:9"]
#: Verbs that need no extra -> arguments, and the exit code with a manifest and no server.
_BASE: dict[str, tuple[list[str], int]] = {
    "generate": ([*_NOWHERE, *_GENERATE], 7),
    "chat": (["out/stories/1", *_NOWHERE], 2),
    "bench": ([*_NOWHERE, "--model", "stories", "--concurrency", "1", "--prompt-tokens", "4"], 7),
    "plan": (["out/stories/1", "--card", "L4"], 0),
    "verify": (["out/stories/1", *_NOWHERE], 6),
    "config": (["out"], 0),
    "versions": (["out"], 0),
    "promote": (["out/stories", "1"], 0),
    "rollback": (["out/stories"], 2),
    "prune": (["out/stories", "--keep", "1"], 0),
    "doctor": (["out"], 1),
    "completion": (["bash"], 0),
    "help": (["buckets"], 0),
}


def test_verbs_of_the_base_install(tmp_path: Path) -> None:
    """Those that docs/clients.md names, where there is a manifest: none asks for an extra."""
    (tmp_path / "out" / "stories" / "1").mkdir(parents=True)
    (tmp_path / "out" / "stories" / "1" / "saved_model.pb").touch()
    manifest().write(tmp_path / "out" / "stories" / "1")
    code = f"""\
import json, sys
sys.modules.update(dict.fromkeys({sorted(EXPORT_PACKAGES | BEAM_PACKAGES | GATEWAY_PACKAGES)!r}))
from exporter.cli import app, main
codes = {{}}
for verb, (arguments, _) in {_BASE!r}.items():
    sys.argv = ["genserve", verb, *arguments]
    try:
        main()
    except SystemExit as ended:
        codes[verb] = ended.code or 0
sys.__stdout__.write("\\n" + json.dumps(codes))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    codes = json.loads(result.stdout.splitlines()[-1])
    assert codes == {verb: status for verb, (_, status) in _BASE.items()}, result.stderr
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    listed = re.search(r"runs (`genserve \w+`.*?);", " ".join(page.split()))
    assert listed is not None
    assert re.findall(r"`(?:genserve )?([a-z]+)`", listed[1]) == list(_BASE)


@pytest.mark.parametrize(
    ("verb", "package", "extra"),
    [
        ("gateway", "prometheus_client", "gateway"),
        ("gateway", "starlette", "gateway"),
        ("serve", "prometheus_client", "gateway"),  # --gateway-port
        ("serve", "starlette", "export"),
        ("batch", "apache_beam", "beam"),
    ],
)
def test_the_extra_is_named(verb: str, package: str, extra: str) -> None:
    error = missing_extra(f"genserve {verb}", ModuleNotFoundError("no such module", name=package))
    words = f"genserve {verb} needs {package}, which is not installed: pip install '.[{extra}]' in "
    assert str(error).startswith(words)


def test_no_message_sends_a_user_to_a_package_index() -> None:
    """On which the name may be anybody's."""
    told = "pip install '.[export,gguf]' in genserve's checkout, or "
    told += "pip install 'genserve-VERSION-py3-none-any.whl[export,gguf]'"
    assert installing("export", "gguf") == told
    texts = [path for root in ("exporter", "docs") for path in (ROOT / root).rglob("*.*")]
    for path in (*texts, *ROOT.glob("*.md")):
        if path.suffix in (".py", ".md", ".ipynb", ".html") and path.name != "CHANGELOG.md":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"""pip install (?:--\S+ )*['"]?genserve\b(?!-)""", text), path


def test_every_extra_that_is_named_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named: set[str] = set()
    for path in (ROOT / "exporter").rglob("*.py"):
        for words in re.findall(r"""installing\(((?:["']\S+["'](?:, )?)+)\)""", path.read_text("utf-8")):
            named |= set(re.findall(r"[\w-]+", words))
    assert named == {"export", "gguf", "keras-hub", "remote"}  # and those of missing_extra
    assert named <= set(project["optional-dependencies"])


def test_public_calls_without_the_extra() -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(EXPORT_PACKAGES)!r})); import exporter\n"
        "try: exporter.verify('nowhere')\nexcept exporter.errors.MissingExtraError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    said = r"exporter\.verify needs tensorflow\w*, which is not installed: pip install '\.\[export\]' in .*\n"
    assert re.fullmatch(said, result.stdout), result.stdout + result.stderr


def test_the_lowest_versions_are_those_of_base_and_extra() -> None:
    script = ROOT / "scripts" / "lowest_versions.py"
    result = subprocess.run(
        [sys.executable, script, ROOT / "pyproject.toml"], capture_output=True, text=True, check=True
    )
    assert {"grpcio==1.68", "tensorflow==2.19"} <= set(result.stdout.split())
