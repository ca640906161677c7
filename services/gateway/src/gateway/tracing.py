"""A span for each HTTP request, named by its method and route: paths and queries hold names and texts.

Requests of MCP have none: their messages have (`gateway.mcp.tracing`), so that a call is one span wherever it says what
trace it belongs to. Nor have probes.
"""

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind
from runtime.telemetry import begin, extract, failed
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_STREAM = (b"content-type", b"text/event-stream")


class TracingMiddleware:
    """ASGI middleware around everything. A stream's span ends when it begins to flow: it may stay open for days."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {
            key.decode(): value.decode("latin-1")
            for key, value in scope["headers"]
            if key in (b"traceparent", b"tracestate")
        }
        parent = extract(carrier)
        path: str = scope["path"]
        if path.startswith("/mcp") or path in _PROBES:
            token = context.attach(parent)
            try:
                await self._app(scope, receive, send)
            finally:
                context.detach(token)
            return
        await self._traced(scope, receive, send, parent)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, parent: context.Context) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        attributes = {"http.request.method": method, "url.scheme": scope["scheme"]}
        request = begin(method, parent, kind=SpanKind.SERVER, attributes=attributes)
        status = 0

        def end() -> None:
            if not request.is_recording():
                return
            route = getattr(scope.get("route"), "path", None)
            if route is not None:
                request.update_name(f"{method} {route}")
                request.set_attribute("http.route", route)
            if status:
                request.set_attribute("http.response.status_code", status)
            if status == 0 or status >= 500:
                failed(request, str(status or "no_response"))
            request.end()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if any(key == _STREAM[0] and value.startswith(_STREAM[1]) for key, value in message["headers"]):
                    end()
            await send(message)

        token = context.attach(trace.set_span_in_context(request))
        try:
            await self._app(scope, receive, answer)
        finally:
            context.detach(token)
            end()
