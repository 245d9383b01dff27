"""Writes serving_configs/served_ops.json: the ops of the TensorFlow and tf.Text that each server release has.

    python scripts/make_served_ops.py PYTHON...

PYTHON: the interpreter of an environment with tensorflow-cpu and tensorflow-text of one minor release, one
for each release that deployment files are written for:

    python -m venv ops-2.19 && ops-2.19/bin/pip install 'tensorflow-cpu==2.19.*' 'tensorflow-text==2.19.*'

A server links the same two op libraries. Ops of TensorFlow's Python process are left out: no server has them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from serving_configs.releases import RELEASES, minor  # noqa: E402
from serving_configs.served_ops import OPS_PATH  # noqa: E402

#: Run by each interpreter, which has nothing of genserve.
_ASK = """
import json, tensorflow, tensorflow_text
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session as session
ops = op_def_pb2.OpList()
ops.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
python = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyPyFunc"}
names = sorted({op.name for op in ops.op} - python)
versions = {"tensorflow": tensorflow.__version__, "tensorflow_text": tensorflow_text.__version__}
print(json.dumps({**versions, "ops": names}))
"""


def render(found: dict[str, dict[str, Any]]) -> str:
    """The whole file: the oldest release's ops, and of the others what each adds and removes."""
    content: dict[str, Any] = {}
    before: set[str] = set()
    for release, facts in sorted(found.items(), key=lambda item: minor(item[0])):
        versions = {key: facts[key] for key in ("tensorflow", "tensorflow_text")}
        ops = set(facts["ops"])
        change = {"added": sorted(ops - before), "removed": sorted(before - ops)}
        content[release], before = {**versions, **change}, ops
    return json.dumps(content, indent=1) + "\n"


def ask(python: str) -> dict[str, Any]:
    """The versions and op names of one environment."""
    answer = subprocess.run([python, "-c", _ASK], check=True, stdout=subprocess.PIPE, text=True).stdout
    facts: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return facts


def main() -> int:
    """Writes the file; exits 1 where a release is missing."""
    found: dict[str, dict[str, Any]] = {}
    for python in sys.argv[1:]:
        facts = ask(python)
        found[".".join(map(str, minor(facts["tensorflow"])))] = facts
    if set(found) != set(RELEASES):
        print(f"environments of {', '.join(RELEASES)} are needed, given: {', '.join(found)}", file=sys.stderr)
        return 1
    OPS_PATH.write_text(render(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
