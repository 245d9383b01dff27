"""Golden answers by a process of their own, once the exporter has let go of what it wrote.

    python -m exporter.exporting.golden_process VERSION < job

The job is a ``GoldenJob`` as JSON. So is the last line of the answer: a ``Golden``, or why there is none.
It runs on the CPU, whatever devices there are, and keeps the version's weights in memory once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import VerificationError

if TYPE_CHECKING:
    from exporter.exporting.golden import Golden, GoldenJob

#: One arena: what one thread of TensorFlow frees, another one takes.
_SETTINGS = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "MALLOC_ARENA_MAX": "1"}


def golden_answers(job: GoldenJob, directory: Path, settings: Mapping[str, str]) -> Golden:
    """``golden_of`` in a fresh process.

    Args:
      job: the export's.
      directory: of the written version.
      settings: further environment variables, as ``sparing_memory`` gives them.

    Raises:
      VerificationError: as there; or the process ended without an answer, as where memory does not suffice.
    """
    from exporter.exporting.golden import Golden, job_to_json

    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    process = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(directory.resolve())],
        input=job_to_json(job),
        env=os.environ | {**_SETTINGS, **settings, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    if process.returncode:
        said = process.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise VerificationError(
            f"the process that verifies the written version ended with code {process.returncode}: "
            f"{said[0][:300]}"
        )
    facts = json.loads(process.stdout.splitlines()[-1])
    if "error" in facts:
        raise VerificationError(facts["error"])
    return Golden.model_validate(facts)


def main() -> None:
    from exporter.exporting.golden import golden_of, job_from_json

    job = job_from_json(sys.stdin.buffer.read())
    try:
        answer = golden_of(job, Path(sys.argv[1])).model_dump_json()
    except VerificationError as error:
        answer = json.dumps({"error": str(error)})
    print(f"\n{answer}", flush=True)


if __name__ == "__main__":
    main()
