"""What became of one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Times are seconds from the start of the load.

    Attributes:
      scheduled: when it should have been sent; what a user waits counts from here.
      sent: when it was.
      ended: when its answer, or its failure, was whole.
      code: "OK", or the error's.
      message: the error's.
      row_errors: of an answer, those of the rows that were refused.
      pieces: when text came, of streamed answers.
      longest: tokens of the longest row.
    """

    scheduled: float
    sent: float
    ended: float
    code: str = "OK"
    message: str = ""
    rows: int = 1
    row_errors: tuple[str, ...] = ()
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    longest: int | None = None
    pieces: tuple[float, ...] = ()

    @property
    def failed(self) -> bool:
        """There is no answer."""
        return self.code != "OK"

    @property
    def good(self) -> bool:
        """Every row was answered: only then its times say what answering takes."""
        return not self.failed and not self.row_errors

    @property
    def of_use(self) -> bool:
        """A row at least was answered by a text and not by an error."""
        return not self.failed and len(self.row_errors) < self.rows

    @property
    def latency(self) -> float:
        return self.ended - self.scheduled
