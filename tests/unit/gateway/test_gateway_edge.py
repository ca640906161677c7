from typing import Any

import pytest
from contracts.errors import ConfigurationError
from gateway.edge import EdgeMiddleware, current_request_id, split_authority
from gateway.listening import check_bind, is_loopback
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send


class App:
    """Answers 204 and keeps what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.path = ""
        self.body = b""
        self.request_id = ""
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.path = scope["path"]
        self.body = (await receive()).get("body", b"")
        self.request_id = current_request_id()
        if self.error:
            raise self.error
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(
    app: App, *, method: str = "GET", path: str = "/x", body: tuple[bytes, ...] = (b"",), **headers: str
) -> tuple[int, dict[str, str]]:
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": part, "more_body": index < len(body) - 1} for index, part in enumerate(body)
    ]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"host": "localhost:8765", **headers}
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in given.items() if value != "-"],
    }  # fmt: skip
    edge = EdgeMiddleware(
        app, allowed_hosts=["Memlog.Home"], allowed_origins=["https://app.example"], max_body_bytes=10
    )
    await edge(scope, receive, send)
    if not sent:
        return 0, {}
    return sent[0]["status"], {key.decode(): value.decode() for key, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8765", "127.9.9.9", "[::1]:8765", "memlog.home:80"]
)
async def test_a_loopback_or_configured_host_passes(host: str) -> None:
    assert (await ask(App(), host=host))[0] == 204


@pytest.mark.parametrize(
    "host", ["-", "", "evil.example", "localhost@evil.example", "localhost:x", "10.0.0.1", "[::2]", "a b"]
)
async def test_any_other_host_is_refused(host: str) -> None:
    assert (await ask(App(), host=host))[0] == 403


@pytest.mark.parametrize("origin", ["http://localhost:8765", "http://127.0.0.1:8765", "https://APP.example"])
async def test_the_same_or_an_allowed_origin_passes(origin: str) -> None:
    assert (await ask(App(), origin=origin))[0] == 204


@pytest.mark.parametrize(
    "origin", ["", "null", "http://localhost:1", "http://localhost", "file://localhost:8765", "http://app.example"]
)
async def test_any_other_origin_is_refused(origin: str) -> None:
    assert (await ask(App(), origin=origin))[0] == 403


async def test_a_body_is_counted_by_what_comes_when_nothing_is_declared() -> None:
    app = App()
    assert (await ask(app, method="POST", body=(b"12345", b"67890")))[0] == 204
    assert app.body == b"1234567890"
    assert (await ask(App(), method="POST", body=(b"12345", b"67890", b"1")))[0] == 413


@pytest.mark.parametrize(("length", "status"), [("10", 204), ("11", 413), ("x", 422), ("-1", 422), ("", 422)])
async def test_a_declared_length_is_held_to_the_limit(length: str, status: int) -> None:
    assert (await ask(App(), method="POST", content_length=length))[0] == status


@pytest.mark.parametrize(("path", "seen"), [("/a/", "/a"), ("/a", "/a"), ("/", "/"), ("/a//", "/a/")])
async def test_one_trailing_slash_is_dropped(path: str, seen: str) -> None:
    app = App()
    await ask(app, path=path)
    assert app.path == seen


async def test_the_request_id_inside_is_the_one_that_is_answered() -> None:
    app = App()
    _, headers = await ask(app)
    assert headers["x-request-id"] == app.request_id
    assert headers["x-content-type-options"] == "nosniff"


async def test_an_unforeseen_failure_is_500_and_does_not_escape() -> None:
    assert (await ask(App(RuntimeError("secret"))))[0] == 500


async def test_a_client_that_left_is_not_answered() -> None:
    assert (await ask(App(ClientDisconnect())))[0] == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_needs_no_authentication(host: str) -> None:
    check_bind(host, authenticated=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "memlog.example"])
def test_any_other_address_is_refused_without_authentication_with_reason_and_remedy(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"without authentication .* 127\.0\.0\.1"):
        check_bind(host, authenticated=False)
    check_bind(host, authenticated=True)


def test_an_authority_is_split_into_name_and_port() -> None:
    assert split_authority("LocalHost:80") == ("localhost", "80")
    assert split_authority("[::1]:80") == ("::1", "80")
    assert split_authority("a@b") == ("", "")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("")
