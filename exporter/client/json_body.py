"""Bodies of requests as JSON."""

from __future__ import annotations

import json
from typing import Any

from exporter.client.errors import RequestError


def json_body(body: Any, *, lenient: bool = False) -> bytes:
    """A body in UTF-8.

    Args:
      lenient: as TensorFlow Serving takes it: NaN and infinities go as such, and bytes that are no UTF-8,
        which were read with surrogates, as they were.

    Raises:
      RequestError: a value that JSON has no form for, or a text that is no Unicode.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=lenient)
        return text.encode("utf-8", "surrogateescape" if lenient else "strict")
    except UnicodeEncodeError as error:
        wrong = error.object[error.start : error.end]
        raise RequestError("INVALID_ARGUMENT", f"a text is no Unicode: it holds {wrong!a:.80}") from None
    except (TypeError, ValueError) as error:
        raise RequestError("INVALID_ARGUMENT", f"a value cannot be sent as JSON: {error}") from None
