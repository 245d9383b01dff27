"""The HTTP application: its routes, and what happens around every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exporter.client.flow import Deadline
from exporter.gateway import logs, ui
from exporter.gateway.admission import Admission
from exporter.gateway.answers import Row
from exporter.gateway.chat import Chat
from exporter.gateway.completions import Completion
from exporter.gateway.connection import ClientGoneError, EventStream, read_body, while_connected
from exporter.gateway.errors import ApiError, fault, invalid, of_server
from exporter.gateway.exchange import Exchange
from exporter.gateway.keys import Keys
from exporter.gateway.metrics import Metrics
from exporter.gateway.models import Models
from exporter.gateway.requests import Body, ChatBody, CompletionBody, parse
from exporter.gateway.settings import Settings

#: An answer's header: "pieces", or "whole" where the version has no signature ``resume``.
STREAM_HEADER = "X-Genserve-Stream"
_HEALTH_SECONDS = 5.0
#: What the page asks, besides its own files.
_OF_PAGE = ("/v1/completions", "/v1/chat/completions")


@dataclass
class Visit:
    """A request's stay in the gateway, for its log line and the metrics."""

    id: str
    path: str
    key: str = ""
    model: str = ""
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    start: float = field(default_factory=time.monotonic)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


_Handler = Callable[[Request, Visit], Awaitable[Response]]


class Gateway:
    """Everything that requests share. ``draining``: no new ones are wanted."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self.models, self.settings = models, settings
        self.admission = Admission(models.rows_at_once, settings.queue_depth)
        self.keys = Keys.read(settings.keys)
        self.metrics = Metrics(self.admission)
        self.draining = False

    @property
    def page_routes(self) -> list[Route]:
        """The page with what it asks: for an application that has the other paths itself."""
        return [
            Route("/", ui.page_file, methods=["GET"]),
            Route("/ui/models", self._visited("/ui/models", self._facts), methods=["GET"]),
            Route("/ui/{name}", ui.page_file, methods=["GET"]),
            *self._routes(
                {path: handler for path, handler in self._posts.items() if path in _OF_PAGE}, "POST"
            ),
        ]

    @property
    def _posts(self) -> dict[str, _Handler]:
        return {
            "/v1/completions": partial(self._exchange, CompletionBody, Completion),
            "/v1/chat/completions": partial(self._exchange, ChatBody, Chat),
            "/v1/embeddings": self._embeddings,
        }

    def _routes(self, handlers: Mapping[str, _Handler], method: str) -> list[Route]:
        return [
            Route(path, self._visited(path, handler), methods=[method]) for path, handler in handlers.items()
        ]

    def application(self) -> Starlette:
        gets = {"/v1/models": self._list, "/v1/models/{model:path}": self._show}
        routes = [
            *self._routes(self._posts, "POST"),
            *self._routes(gets, "GET"),
            Route("/health", self._health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]
        if self.settings.ui:
            routes += self.page_routes

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await self.models.close()

        handlers: Mapping[Any, Any] = {HTTPException: _no_route}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)

    def _visited(self, path: str, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        """Around every request of the API: its id, its key, errors as JSON, its log line."""

        async def answer(request: Request) -> Response:
            visit = Visit(logs.request_id(request.headers.get("x-request-id")), path)
            try:
                visit.key = self.keys.admit(request.headers.get("authorization"))
                response = await handler(request, visit)
            except ApiError as error:
                response = JSONResponse(error.body, error.status, headers=error.headers)
                visit.extra["error"] = error.code
            except ClientGoneError:
                response = Response(status_code=499)
            except Exception:
                known = fault(visit.id)
                response = JSONResponse(known.body, known.status)
                visit.extra["error"] = known.code
            response.headers["X-Request-Id"] = visit.id
            if not isinstance(response, EventStream):
                await self._leave(visit, response.status_code)
            return response

        return answer

    async def _leave(self, visit: Visit, status: int) -> None:
        await visit.stack.aclose()
        self.metrics.answered(visit.path, visit.model, status, visit.seconds)
        fields = {
            "request_id": visit.id,
            "path": visit.path,
            "status": status,
            "seconds": round(visit.seconds, 4),
            **{name: value for name, value in (("key", visit.key), ("model", visit.model)) if value},
            **visit.extra,
        }
        logs.logger.info("answered", extra={"fields": fields})

    async def _exchange(
        self, body_kind: type[Body], kind: Callable[..., Exchange], request: Request, visit: Visit
    ) -> Response:
        deadline = Deadline(self._seconds(request))
        most, seconds = self.settings.max_body_bytes, self.settings.body_seconds
        content = await read_body(request, limit=most, seconds=seconds)
        body = parse(content, body_kind)
        model = self.models.find(body.model)
        visit.model = model.manifest.name
        if self.settings.log_prompts:
            visit.extra["body"] = content.decode()
        visit.stack.enter_context(self.admission.request())
        exchange = kind(model, body, deadline)
        try:
            async with asyncio.timeout(deadline.left):
                rows = await while_connected(request.receive, exchange.rows())
                if body.stream:
                    return self._stream(visit, exchange, rows)
                answer = await while_connected(request.receive, exchange.whole(rows))
        except TimeoutError:
            raise of_server(deadline.exceeded()) from None
        self._count(visit, exchange)
        return JSONResponse(answer)

    def _stream(self, visit: Visit, exchange: Exchange, rows: Sequence[Row]) -> Response:

        async def chunks() -> AsyncGenerator[dict[str, Any], None]:
            async for chunk in exchange.chunks(rows):
                if "first_piece" not in visit.extra and exchange.completion_tokens:
                    visit.extra["first_piece"] = round(visit.seconds, 4)
                    self.metrics.first_piece(visit.model, visit.seconds)
                yield chunk

        async def ended(status: int) -> None:
            self._count(visit, exchange)
            await self._leave(visit, status)

        how = "pieces" if rows[0].signature == "resume" else "whole"
        return EventStream(chunks(), exchange.deadline, ended, {STREAM_HEADER: how})

    def _count(self, visit: Visit, exchange: Exchange) -> None:
        self.metrics.tokens(visit.model, exchange.prompt_tokens, exchange.completion_tokens)
        visit.extra |= {
            "prompt_tokens": exchange.prompt_tokens,
            "completion_tokens": exchange.completion_tokens,
        }

    def _seconds(self, request: Request) -> float:
        """A request's time: the operator's, or what the client asks for, where that is less."""
        given = request.headers.get("x-request-timeout")
        if given is None:
            return self.settings.timeout_seconds
        try:
            seconds = float(given)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise invalid(f"X-Request-Timeout: {given[:40]!r} must be seconds, above 0")
        return min(seconds, self.settings.timeout_seconds)

    async def _embeddings(self, *_: Any) -> Response:
        raise ApiError(
            404, "embeddings: models here generate text; there are none", code="unsupported_endpoint"
        )

    async def _list(self, *_: Any) -> Response:
        return JSONResponse({"object": "list", "data": self.models.cards()})

    async def _show(self, request: Request, visit: Visit) -> Response:
        name = request.path_params["model"]
        self.models.find(name)
        return JSONResponse(next(card for card in self.models.cards() if card["id"] == name))

    async def _facts(self, *_: Any) -> Response:
        return JSONResponse([ui.facts(name, model) for name, model in self.models.items()])

    async def _health(self, _: Request) -> Response:
        """200 where every model has a server; 503 else, and while draining."""
        missing = [] if self.draining else await self.models.missing(Deadline(_HEALTH_SECONDS))
        status = "draining" if self.draining else "unavailable" if missing else "ok"
        return JSONResponse({"status": status, "missing": missing}, 200 if status == "ok" else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(self.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path}: " + ("no such path" if status == 404 else "not allowed")
    known = ApiError(status, message, code="unknown_url" if status == 404 else "method_not_allowed")
    return JSONResponse(known.body, status, headers=getattr(error, "headers", None))
