"""The error of a request: the server's code and message."""

from __future__ import annotations

from exporter.errors import ServingError
from exporter.symptoms import recognise

# The canonical code of an HTTP status, where the body does not say (both 400s are INVALID_ARGUMENT).
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# What TLS libraries say of a certificate or a peer that is wrong, and will be wrong again.
_TLS_FAULTS = (
    "CERTIFICATE_VERIFY_FAILED",
    "certificate verify failed",
    "handshake failed",
    "WRONG_VERSION_NUMBER",
)


class RequestError(ServingError):
    """A server refused or failed a request.

    Attributes:
      code: the canonical code, e.g. "INVALID_ARGUMENT".
      http_status: None over gRPC, or when no answer came.
      message: the server's own words. Of those that are known, ``str`` says what they mean and what mends it.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        status = f" (HTTP {http_status})" if http_status is not None else ""
        known = recognise(message)
        hint = f"\n  {known.meaning}: {known.mend}" if known else ""
        super().__init__(f"{code}{status}: {message}{hint}")
        self.code = code
        self.message = message
        self.http_status = http_status

    @classmethod
    def from_http(cls, status: int, message: str) -> RequestError:
        return cls(_CODES.get(status, "UNKNOWN"), message, status)

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.code == "UNAVAILABLE" and not any(fault in self.message for fault in _TLS_FAULTS)
