"""One line of JSON per request. Prompts and answers are not in it, unless the operator asks for prompts."""

from __future__ import annotations

import json
import logging
import re
import uuid
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger("genserve.gateway")
_ID = re.compile(r"[\w.:-]{1,128}")


def request_id(given: str | None) -> str:
    """The client's own where it is a plain word, else a new one."""
    return given if given is not None and _ID.fullmatch(given) else uuid.uuid4().hex


class JsonLines(logging.Formatter):
    """``{"time": ..., "level": ..., "message": ...}``, and what is logged as ``extra={"fields": {...}}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def to_stderr() -> None:
    """Sets up logging for a process that is a gateway."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
