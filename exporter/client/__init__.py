"""Clients of a TensorFlow Serving endpoint, over REST and gRPC.

    RestClient("http://localhost:8501", "stories").generate(["Once upon a time"])

Importing this package loads no TensorFlow; ``GrpcClient`` does (the messages come with it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.client.errors import RequestError
from exporter.client.generation import Completion, generate
from exporter.client.rest import RestClient
from exporter.errors import ServingError

if TYPE_CHECKING:
    from exporter.client.grpc import GrpcClient

__all__ = ["Completion", "GrpcClient", "RequestError", "RestClient", "ServingError", "generate"]


def __getattr__(name: str) -> Any:
    if name == "GrpcClient":
        from exporter.client.grpc import GrpcClient

        return GrpcClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
