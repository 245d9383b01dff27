"""Clients of a TensorFlow Serving endpoint, over REST and gRPC, blocking and in asyncio.

    Client("http://localhost:8501", "stories").generate(["Once upon a time"])

Needs no TensorFlow; a protocol's library is loaded where it is used. ``Client`` and ``AsyncClient`` are for
applications; ``RestClient`` and ``GrpcClient`` are one protocol each, as it is, for tests and tools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter import lazy

if TYPE_CHECKING:
    from exporter.client.aio import AsyncClient
    from exporter.client.answers import (
        Completion,
        Decoding,
        Encoding,
        NextToken,
        NextTokens,
        Score,
        SignatureInfo,
        TensorInfo,
        TokenCompletion,
        VersionStatus,
    )
    from exporter.client.blocking import Client
    from exporter.client.errors import RequestError
    from exporter.client.grpc import GrpcClient
    from exporter.client.plain import generate
    from exporter.client.rest import RestClient
    from exporter.errors import ServingError

__all__ = [
    "AsyncClient",
    "Client",
    "Completion",
    "Decoding",
    "Encoding",
    "GrpcClient",
    "NextToken",
    "NextTokens",
    "RequestError",
    "RestClient",
    "Score",
    "ServingError",
    "SignatureInfo",
    "TensorInfo",
    "TokenCompletion",
    "VersionStatus",
    "generate",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "AsyncClient": "exporter.client.aio",
        "Client": "exporter.client.blocking",
        "Completion": "exporter.client.answers",
        "Decoding": "exporter.client.answers",
        "Encoding": "exporter.client.answers",
        "GrpcClient": "exporter.client.grpc",
        "NextToken": "exporter.client.answers",
        "NextTokens": "exporter.client.answers",
        "RequestError": "exporter.client.errors",
        "RestClient": "exporter.client.rest",
        "Score": "exporter.client.answers",
        "ServingError": "exporter.errors",
        "SignatureInfo": "exporter.client.answers",
        "TensorInfo": "exporter.client.answers",
        "TokenCompletion": "exporter.client.answers",
        "VersionStatus": "exporter.client.answers",
        "generate": "exporter.client.plain",
    },
)
