"""Errors as OpenAI's API answers them: ``{"error": {"message", "type", "param", "code"}}`` and a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.client.errors import RequestError
from exporter.errors import GenserveError
from exporter.gateway.logs import logger

#: The ``type`` that goes with a status; 500 and above are "server_error".
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    499: "request_cancelled",
    504: "timeout_error",
}
#: What a server's code means to a client of the gateway: status and ``code``.
_OF_SERVER = {
    "INVALID_ARGUMENT": (400, "invalid_value"),
    "OUT_OF_RANGE": (400, "invalid_value"),
    "RESOURCE_EXHAUSTED": (503, "server_overloaded"),
    "UNAVAILABLE": (503, "server_unavailable"),
    "NOT_FOUND": (503, "model_not_loaded"),
    "DEADLINE_EXCEEDED": (504, "timeout"),
    "CANCELLED": (499, "request_cancelled"),
}


class ApiError(GenserveError):
    """What a request is answered with instead of a completion.

    Attributes:
      status: of HTTP.
      param: the field of the body that is at fault.
      code: a word for programs, such as "context_length_exceeded".
      headers: of the answer, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """The client's fault: 400."""
    return ApiError(400, message, param=param, code=code)


def unsupported(message: str, param: str | None = None) -> ApiError:
    """Well-formed, but not to be had here: 400, with what would help."""
    return ApiError(400, message, param=param, code="unsupported_value")


def fault(request_id: str) -> ApiError:
    """What nobody foresaw, as the exception that is handled here: logged with its traceback."""
    logger.exception("a fault of the gateway", extra={"fields": {"request_id": request_id}})
    return ApiError(500, "the gateway failed; its log says how", code="internal_error")


def of_server(error: RequestError) -> ApiError:
    """A backend's failure. Its words are passed on where the request is at fault: others name hosts."""
    status, code = _OF_SERVER.get(error.code, (502, "bad_gateway"))
    if status == 400:
        return ApiError(status, error.message, code=code)
    words = {
        499: "the request was cancelled",
        503: "the model server is not available",
        504: "the model server did not answer in time",
    }
    headers = {"Retry-After": "1"} if status == 503 else {}
    message = words.get(status, f"the model server failed ({error.code})")
    return ApiError(status, message, code=code, headers=headers)
