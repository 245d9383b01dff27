"""What an operator chooses; everything else is in the manifests."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """A gateway's settings.

    Attributes:
      queue_depth: requests that may wait, beyond those that are worked on.
      timeout_seconds: for a whole answer, waiting included; a request may ask for less (X-Request-Timeout).
      body_seconds: for a request's body to come.
      max_body_bytes: of a request.
      keys: the file of API keys; None: everyone may ask.
      log_prompts: whether the log shows what people wrote.
      ui: whether ``/`` answers a page to try the models.
      drain_seconds: between SIGTERM, when ``/health`` turns 503, and the closing of the port.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_depth: int = Field(default=128, ge=0)
    timeout_seconds: float = Field(default=300.0, gt=0)
    body_seconds: float = Field(default=30.0, gt=0)
    max_body_bytes: int = Field(default=4 << 20, ge=1)
    keys: Path | None = None
    log_prompts: bool = False
    ui: bool = False
    drain_seconds: float = Field(default=0.0, ge=0)
