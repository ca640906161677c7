"""Faults of a stand-in server, on demand."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

Fault = Callable[[Request], Response | None]
"""What is answered instead; None: nothing at all, until the client gives up."""


def status(code: int, parameter: str | None = None, **headers: str) -> Fault:
    """An error as OpenAI words it; `parameter`: the one that it names as wrong. `retry_after` is a header."""
    body = {"error": {"message": "a scripted fault", "type": "scripted", "code": None, "param": parameter}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: JSONResponse(body, code, named)


def hang(_: Request) -> Response | None:
    """No answer."""
    return None


def text(body: str) -> Fault:
    """These bytes, called JSON."""
    return lambda _: Response(body, media_type="application/json")


def cut(_: Request) -> Response:
    """The connection ends in the middle of the answer."""
    return _Cut(b'{"id": "half", "object": "chat.completion", "choices": [{"index": 0, "mess')


class _Cut(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        # Returning without an end makes the server drop the connection.


def completion(content: str | None, said: Mapping[str, object] | None = None, finish: str = "stop") -> Response:
    """A chat completion; `said` are more fields of its message."""
    message = {"role": "assistant", "content": content, "refusal": None, **(said or {})}
    return JSONResponse(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "talker-2026-01-01",
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
    )


def says(content: str) -> Fault:
    """A completion with this content: malformed JSON, or a wrong schema."""
    return lambda _: completion(content)


def refusal(_: Request) -> Response:
    """The model will not."""
    return completion(None, {"refusal": "I cannot help with that."})


def cut_off(content: str) -> Fault:
    """The model had more to say than it may."""
    return lambda _: completion(content, finish="length")
