"""A handler that worker processes import, and that leaves a file for every load."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from exporter.batch.pipeline import VersionHandler

#: Names the folder of those files.
FOLDER = "GENSERVE_COUNTED_LOADS"


class CountingHandler(VersionHandler):
    """Its files are called PID-SOMETHING."""

    def load_model(self) -> Any:
        (Path(os.environ[FOLDER]) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()
        return super().load_model()
