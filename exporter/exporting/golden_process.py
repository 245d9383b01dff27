"""Golden answers by a process of their own, once the exporter has let go of what it wrote.

    python -m exporter.exporting.golden_process VERSION < job

The job is a pickled ``GoldenJob``; the last line of the answer is JSON: a ``Golden``, or why there is none.
It runs on the CPU, whatever devices there are, and keeps the version's weights in memory once.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import VerificationError
from exporter.xla_memory import sparing_memory

if TYPE_CHECKING:
    from exporter.exporting.golden import Golden, GoldenJob

_SETTINGS = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def golden_answers(job: GoldenJob, directory: Path, weights_bytes: int) -> Golden:
    """``golden_of`` in a fresh process.

    Args:
      job: the export's.
      directory: of the written version.
      weights_bytes: of its weights.

    Raises:
      VerificationError: as there; or the process ended without an answer, as where memory does not suffice.
    """
    from exporter.exporting.golden import Golden

    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    settings = {**_SETTINGS, **sparing_memory(job.options.dtype, weights_bytes), "PYTHONPATH": path}
    process = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(directory.resolve())],
        input=pickle.dumps(job),
        env=os.environ | settings,
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
    from exporter.exporting.golden import golden_of

    job: GoldenJob = pickle.load(sys.stdin.buffer)
    try:
        answer = golden_of(job, Path(sys.argv[1])).model_dump_json()
    except VerificationError as error:
        answer = json.dumps({"error": str(error)})
    print(f"\n{answer}", flush=True)


if __name__ == "__main__":
    main()
