"""The ops of every server release, and which releases can run a graph."""

from __future__ import annotations

import sys

from exporter.manifest import Manifest
from exporter.verification.foreign_process import ops_check
from scripts.make_served_ops import ask, render
from serving_configs.releases import RELEASES, minor
from serving_configs.served_ops import OPS_PATH, obstacles, served_ops, unknown_ops
from tests.serving_configs.manifests import manifest

#: Registered since 2.20, and since 2.21 (seen in the releases' own sources); and by tf.Text.
SINCE_2_20, SINCE_2_21, TEXT = "DecodeWebP", "DecodeJxl", "SentencepieceOp"


def test_every_release_has_its_ops() -> None:
    assert set(served_ops()) == set(RELEASES)
    for ops in served_ops().values():
        assert {"MatMul", "XlaLaunch", "StatefulPartitionedCall", "RaggedGather", TEXT} <= ops
        assert not {"PyFunc", "EagerPyFunc"} & ops


def test_the_installed_tensorflow_registers_what_the_file_says() -> None:
    facts = ask(sys.executable)
    release = ".".join(map(str, minor(facts["tensorflow"])))
    assert set(facts["ops"]) == served_ops()[release]


def test_the_file_is_what_the_script_makes_of_its_ops() -> None:
    import json

    versions = json.loads(OPS_PATH.read_text(encoding="utf-8"))
    found = {release: versions[release] | {"ops": sorted(ops)} for release, ops in served_ops().items()}
    assert OPS_PATH.read_text(encoding="utf-8") == render(found)


def test_which_releases_can_serve() -> None:
    assert obstacles({"MatMul", TEXT}, "2.19.0") == {"2.19": "", "2.20": "", "2.21": ""}
    assert obstacles({SINCE_2_20}, "2.19.0")["2.19"] == f"it has no {SINCE_2_20}"
    found = obstacles({SINCE_2_21}, "2.20.1")
    assert found["2.19"].startswith("it is older than TensorFlow 2.20.1")
    assert (found["2.20"], found["2.21"]) == (f"it has no {SINCE_2_21}", "")
    assert unknown_ops({"MatMul", "PyFunc", "Magic"}) == ["Magic", "PyFunc"]


def checked(ops: list[str], configured: str | None, tensorflow: str = "2.19.0") -> tuple[str, str]:
    version: Manifest = manifest(tensorflow_version=tensorflow)
    check = ops_check(version, ops, configured)
    return check.status, check.detail


def test_verify_says_which_and_fails_where_the_deployment_cannot() -> None:
    assert checked(["MatMul"], None) == ("passed", "1 kinds; served by TensorFlow Serving 2.19, 2.20, 2.21")
    assert checked(["MatMul"], "2.19")[0] == "passed"
    status, detail = checked(["MatMul", SINCE_2_20], "2.19")
    assert status == "failed"
    assert f"Serving 2.19, which cannot serve it: it has no {SINCE_2_20}" in detail
    assert detail.endswith("genserve config OUT --serving-version 2.20")
    assert checked(["MatMul"], "2.19", "2.21.0")[0] == "failed"
    assert checked(["MatMul"], "1.15")[0] == "failed"
    status, detail = checked(["MatMul"], None, "2.99.0")
    assert (status, detail.count("it is older")) == ("failed", 3)
    assert checked(["Magic"], None) == ("failed", "Magic is in no stock TensorFlow Serving")
