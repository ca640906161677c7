"""Hostile MCP requests, made by hypothesis: sound envelopes with odd arguments, broken ones, bytes that are no JSON,
wrong headers, paths and methods. Nothing is sent here."""

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY

REVISIONS = ("2026-07-28", "2025-11-25")
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ODD_TEXTS = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\u2028", "é" * 300, "😀" * 70, "x" * 5000,
    "A\u0301" * 50, "../../etc/passwd", "%00", "'; DROP TABLE memories; --", "{{7*7}}", "null", "-1", "1e999",
    "\r\nX: y",
)  # fmt: skip
_ODD_NUMBERS = (
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    10**400,
    0.1,
    -0.0,
    1e308,
    5e-324,
    float("inf"),
    float("nan"),
)


_ONE_IN_EIGHT = st.sampled_from([False] * 7 + [True])
_OTHER_METHODS = st.sampled_from(["GET", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH"])


@dataclass(frozen=True, slots=True)
class Sent:
    """One HTTP request. `path` and header values are as they go over the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers, by name: its tools with the schemas of their arguments, prompts, resources, methods."""

    tools: Mapping[str, Mapping[str, Any]]
    prompts: tuple[str, ...]
    resources: tuple[str, ...]


@cache
def texts() -> SearchStrategy[str]:
    """Sensible, odd, and what no encoding holds (lone surrogates)."""
    return st.one_of(
        st.text(string.ascii_letters + " ", max_size=40),
        st.sampled_from(_ODD_TEXTS),
        st.text(st.characters(codec=None, categories=None), max_size=20),
        st.uuids().map(str),
    )


@cache
def anything() -> SearchStrategy[Any]:
    """Any JSON value, and numbers that are none in JSON."""
    level: SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(_ODD_NUMBERS) | texts()
    )
    for _ in range(2):
        level = level | st.lists(level, max_size=3) | st.dictionaries(texts(), level, max_size=3)
    return level | st.integers(1, 80).map(_nested)


def _nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def fitting(schema: Mapping[str, Any], root: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Values that come near to fitting a JSON schema: of its types and enumerations, not within its bounds."""
    if "$ref" in schema:
        found: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found[step]
        return fitting(found, root)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return st.one_of(*(fitting(each, root) for each in schema[several]))
    match schema.get("type"):
        case "string":
            return texts()
        case "integer":
            return st.integers(-5, 200) | st.sampled_from(_ODD_NUMBERS)
        case "number":
            return st.floats(-2, 2) | st.sampled_from(_ODD_NUMBERS)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return st.lists(fitting(schema.get("items", {}), root), max_size=5)
        case "object":
            return arguments(schema, root)
        case _:
            return anything()


def arguments(schema: Mapping[str, Any], root: Mapping[str, Any]) -> SearchStrategy[dict[str, Any]]:
    """For a tool of this input schema: mostly what it asks for, then what it does not, and some of both."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    near = {name: fitting(each, root) for name, each in properties.items()}
    near_fit = st.fixed_dictionaries(
        {name: each for name, each in near.items() if name in required},
        optional={name: each for name, each in near.items() if name not in required},
    )
    off = st.fixed_dictionaries({}, optional={name: each | anything() for name, each in near.items()})
    unknown = st.dictionaries(texts(), anything(), min_size=1, max_size=3)
    return st.one_of(near_fit, near_fit, off, st.tuples(near_fit, unknown).map(lambda both: {**both[0], **both[1]}))


def _calls(offer: Offer) -> SearchStrategy[tuple[str, Any]]:
    """Method and parameters of messages whose envelope is sound."""
    by_tool = {
        name: arguments(schema, schema).map(lambda given, name=name: (name, given))
        for name, schema in sorted(offer.tools.items())
    }
    tool = _mostly(st.sampled_from(list(by_tool)).flatmap(by_tool.__getitem__), st.tuples(texts(), anything()))
    named = st.sampled_from(offer.prompts or ("",)) | texts()
    uris = st.sampled_from(offer.resources or ("",)) | texts() | texts().map(lambda text: f"memory://{text}")
    odd = anything()
    others = st.one_of(
        st.tuples(named, odd).map(lambda both: ("prompts/get", {"name": both[0], "arguments": both[1]})),
        uris.map(lambda uri: ("resources/read", {"uri": uri})),
        st.tuples(
            st.sampled_from(
                [
                    "initialize", "ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
                    "server/discover", "logging/setLevel", "completion/complete", "resources/subscribe", "tasks/get",
                    "notifications/initialized", "notifications/cancelled", "notifications/progress",
                    "subscriptions/listen",
                ]
            ) | texts(),
            st.fixed_dictionaries({}, optional={
                "cursor": odd, "protocolVersion": odd, "capabilities": odd, "clientInfo": odd, "level": odd, "ref": odd,
                "argument": odd, "requestId": odd, "progressToken": odd, "_meta": odd,
            }) | odd,
        ),
    )  # fmt: skip
    return _mostly(tool.map(lambda call: ("tools/call", {"name": call[0], "arguments": call[1]})), others)


@cache
def _ids() -> SearchStrategy[Any]:
    return _mostly(st.integers(0, 1000), texts() | st.none() | anything())


@st.composite
def _mostly(draw: st.DrawFn, usual: SearchStrategy[Any], odd: SearchStrategy[Any]) -> Any:
    """Seven of eight are as usual."""
    return draw(odd if draw(_ONE_IN_EIGHT) else usual)


def _encoded(message: Any) -> bytes:
    """JSON as it is written by who does not care: lone surrogates as escapes, NaN as it is."""
    return json.dumps(message).encode()


@cache
def _breaks() -> SearchStrategy[Callable[[dict[str, Any]], bytes]]:
    """What makes a body of a sound message: something is missing, wrong or too much, or it is no message at all."""

    def bytewise(change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], bytes]:
        return lambda message: change(_encoded(message))

    def without(name: str) -> Callable[[dict[str, Any]], bytes]:
        return lambda message: _encoded({each: value for each, value in message.items() if each != name})

    def replaced(name: str, value: Any) -> Callable[[dict[str, Any]], bytes]:
        return lambda message: _encoded({**message, name: value})

    def repeated(count: int) -> Callable[[dict[str, Any]], bytes]:
        return lambda message: _encoded([message] * count)

    def instead(body: bytes) -> Callable[[dict[str, Any]], bytes]:
        return lambda _: body

    fields = st.sampled_from(["jsonrpc", "id", "method", "params"])
    answers = st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "id": _ids()}, optional={"result": anything(), "error": anything()}
    )
    endless = [
        *(b"[" * depth + b"]" * depth for depth in (10, 1000, 100_000)),
        *(b'{"params":' * depth + b"1" + b"}" * depth for depth in (1000, 100_000)),
        *(b'{"jsonrpc":"2.0","method":"ping","id":' + b"9" * digits + b"}" for digits in (300, 5000)),
        b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 1_100_000 + b'"}',
    ]
    return st.one_of(
        fields.map(without),
        st.tuples(fields, anything()).map(lambda both: replaced(*both)),
        st.integers(0, 3).map(repeated),
        (answers | anything()).map(_encoded).map(instead),
        st.integers(0, 400).map(lambda length: bytewise(lambda data: data[:length])),
        st.tuples(st.binary(min_size=1, max_size=8), st.integers(0, 200)).map(
            lambda both: bytewise(lambda data: data[: both[1]] + both[0] + data[both[1] :])
        ),
        st.just(bytewise(lambda data: data.decode().encode("utf-16"))),
        st.just(bytewise(lambda data: b"\xef\xbb\xbf" + data)),
        st.just(bytewise(lambda data: data[:-1] + b', "id": 7, "id": 8}')),
        st.binary(max_size=200).map(instead),
        st.sampled_from(endless).map(instead),
    )


def _headers(revision: str, method: Any, params: Any) -> dict[str, str]:
    """Those of a well-behaved client."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    headers["MCP-Protocol-Version"] = revision
    if revision == "2026-07-28":
        headers["Mcp-Method"] = _header_value(method)
        name = cast("dict[str, Any]", params).get(_NAMED_BY.get(str(method), "")) if isinstance(params, dict) else None
        if name is not None:
            headers["Mcp-Name"] = _header_value(name)
    return headers


def _header_value(value: Any) -> str:
    """What of a value can stand in a header."""
    return "".join(c for c in str(value)[:200] if " " <= c <= "~").strip()


@cache
def _wrong_headers() -> SearchStrategy[dict[str, str | None]]:
    """What replaces headers of the well-behaved; None takes one away."""
    values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)
    return st.dictionaries(
        st.sampled_from([
            "Content-Type", "Accept", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id",
            "Last-Event-ID", "Origin", "Host", "Authorization", "traceparent", "baggage", "Content-Encoding",
            "Accept-Encoding",
        ]),
        st.one_of(
            st.none(), values,
            st.sampled_from(["", "*/*", "text/html", "application/json; charset=utf-16", "2024-11-05", "1999-01-01",
                             "gzip", "=?base64?!!?=", "=?base64?//79?=", "00-0-0-0", "null", "evil.example"]),
        ),
        min_size=1, max_size=3,
    )  # fmt: skip


@cache
def _paths() -> SearchStrategy[str]:
    names = st.sampled_from(["claude", "fuzz-0", "fuzz-1"]) | texts().map(
        lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")
    )
    own = st.tuples(names, names).map(lambda both: f"/mcp/{both[0]}/http/{both[1]}")
    return st.one_of(st.just("/mcp"), st.just("/mcp/claude/http/fuzz-0"), own)


def requests(offer: Offer) -> SearchStrategy[Sent]:
    """Of either revision, at either path."""
    return _requests(_calls(offer))


@st.composite
def _requests(draw: st.DrawFn, calls: SearchStrategy[tuple[str, Any]]) -> Sent:
    revision = draw(st.sampled_from(REVISIONS))
    method, params = draw(calls)
    if isinstance(params, dict):
        params = {"_meta": draw(_META[revision]), **cast("dict[str, Any]", params)}
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": draw(_ids()), "method": method, "params": params}
    make = draw(_breaks()) if draw(_ONE_IN_EIGHT) else _encoded
    headers: dict[str, str] = _headers(revision, method, params)
    if draw(_ONE_IN_EIGHT):
        for name, value in draw(_wrong_headers()).items():
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
    http_method = draw(_OTHER_METHODS) if draw(_ONE_IN_EIGHT) else "POST"
    return Sent(http_method, draw(_paths()), headers, make(message))


_META = {
    "2026-07-28": st.fixed_dictionaries(
        {
            PROTOCOL_VERSION_META_KEY: _mostly(st.just("2026-07-28"), anything()),
            CLIENT_CAPABILITIES_META_KEY: _mostly(st.just({}), anything()),
        },
        optional={
            CLIENT_INFO_META_KEY: _mostly(st.just({"name": "fuzz", "version": "1"}), anything()),
            "progressToken": _ids(),
        },
    ),
    "2025-11-25": st.fixed_dictionaries({}, optional={"progressToken": _ids()}),
}
"""Revision → what goes along with its messages."""
