"""Two users of one Memlog, and every request in which an id of one of them can stand.

The requests come from /openapi.json and tools/list, so that what is added is tried too, or fails the test until it is
said here how.
"""

import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from contracts.ids import uuid7

Json = dict[str, Any]

OPERATORS = (
    "/api/v1/dead-letters", "/api/v1/projections", "/api/v1/verification", "/api/v1/anchors", "/api/v1/health",
    "/livez", "/readyz", "/metrics",
)  # fmt: skip
"""Routes of no user but of the operator: they tell of all users where things are, and no content."""
_ID = re.compile(r"(?:.*_)?(?:ids?|run)")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r'("(?:created|updated|accessed)_at\\?": ?)\d+'), r"\1<time>"),
    (re.compile(r'"\d+-\d+\\?"'), "<position>"),
)
_MCP = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}


@dataclass(slots=True)
class Person:
    """A user, with what is theirs alone: ids by kind, and a word that stands in all their texts and names."""

    http: httpx.Client
    mark: str = field(default_factory=lambda: f"zq{uuid.uuid4().hex[:10]}")
    ids: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    seen: set[str] = field(default_factory=set[str])

    @property
    def name(self) -> str:
        return f"user-{self.mark}"

    def keep(self, kind: str, id_: str) -> str:
        self.seen.add(id_)
        if id_ not in self.ids.setdefault(kind, []):
            self.ids[kind].append(id_)
        return id_

    def ask(self, method: str, path: str, *, body: object = None, **params: Any) -> httpx.Response:
        """A request of theirs; the ids in its answer are theirs. (A body that is an object is told their name.)"""
        if isinstance(body, dict):
            body = {"user_id": self.name, **cast("Json", body)}
        else:
            params["user_id"] = self.name
        answer = self.http.request(method, path, json=body, params=params)
        self.seen.update(_UUID.findall(answer.text))
        return answer

    def rpc(self, app: str, method: str, params: Json) -> Json:
        """What a message over MCP is answered with."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.http.post(f"/mcp/{app}/http/{self.name}", json=message, headers=_MCP)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tool(self, app: str, name: str, **arguments: Any) -> Json:
        """A tool's result, which is no error; the ids in it are theirs."""
        result = self.rpc(app, "tools/call", {"name": name, "arguments": arguments})["result"]
        assert not result["isError"], result
        self.seen.update(_UUID.findall(json.dumps(result)))
        return result["structuredContent"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is without what differs each time; `raw` is all of it."""

    status: int
    kind: str
    text: str
    raw: str = field(compare=False, repr=False)


Send = Callable[[Person, str], Answer]


@dataclass(frozen=True, slots=True)
class Probe:
    """A request with a place for an id. `slot` is the place's name; `send` makes the request as somebody, with an id
    there."""

    name: str
    slot: str
    send: Send

    def of(self, person: Person) -> Sequence[str]:
        """Ids of this person that could stand there; of every kind where the name does not say which."""
        kind = re.sub("_ids?$", "", self.slot)
        return person.ids.get(kind) or [ids[0] for ids in person.ids.values()]

    def tell_apart(self, who: Person, id_: str, owner: Person) -> str:
        """How `who` can tell an id of `owner` from a random one; empty where they can not."""
        theirs, random = self.send(who, id_), self.send(who, _like(id_))
        if theirs != random:
            return f"{self.name} with {id_}: {theirs} but for a random id {random}"
        return leak(theirs.raw.replace(id_, "<the id>"), owner)


def leak(text: str, owner: Person) -> str:
    """What of `owner` stands in this text."""
    found: set[str] = owner.seen & set(_UUID.findall(text))
    if owner.mark in text:
        found.add(owner.mark)
    return f"{sorted(found)} in {text}" if found else ""


def _like(id_: str) -> str:
    """A random UUID of the same version; of the same time, where it holds one."""
    fresh = str(uuid.uuid4())
    if id_[14] == "7":
        fresh = id_[:13] + fresh[13:]
    return fresh[:14] + id_[14] + fresh[15:]


def _answer(who: Person, answer: httpx.Response, id_: str) -> Answer:
    kind = answer.headers.get("content-type", "")
    raw = _unzipped(answer.content) if kind == "application/zip" else answer.text
    text = raw.replace(id_, "<the id>")
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    # Ids that the request itself gave rise to differ each time.
    text = _UUID.sub(lambda found: found[0] if found[0] in who.seen else "<fresh>", text)
    return Answer(answer.status_code, kind, text, raw)


def _unzipped(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return "\n".join(archive.read(name).decode(errors="replace") for name in sorted(archive.namelist()))


# -- what there is to ask ---------------------------------------------------------------------------------------------
_REQUIRED: Mapping[str, Any] = {
    "query": "what is there?", "is_active": True, "memory_content": "another text", "text": "a text", "effect": "deny",
    "categories": ["things"], "after_days": 3000,
}  # fmt: skip
"""What stands in a request where something has to. (An app that has to be named is the asking person's own.)"""


def probes(http: httpx.Client) -> list[Probe]:
    """A probe for each place of an id in each route of users, tool and resource."""
    document = http.get("/openapi.json").json()
    found: list[Probe] = []
    for path, operations in document["paths"].items():
        if not path.startswith(OPERATORS):
            for method, operation in operations.items():
                found += _of_route(document, method.upper(), path, operation)
    listed = Person(http).rpc("cursor", "tools/list", {})["result"]["tools"]
    for tool in listed:
        found += _of_tool(tool["name"], tool["inputSchema"])
    read = Probe(
        "resources/read", "memory_id", lambda who, id_: _rpc(who, "resources/read", {"uri": f"memory://{id_}"}, id_)
    )
    return [*found, read]


def readings(http: httpx.Client) -> list[str]:
    """Paths of all routes of users that are read without any parameter but the user."""
    paths = http.get("/openapi.json").json()["paths"]
    return [
        path
        for path, operations in paths.items()
        if "get" in operations
        and not path.startswith(OPERATORS)
        and not path.endswith("/stream")
        and not any(given["required"] for given in operations["get"].get("parameters", []))
    ]


def _of_route(document: Json, method: str, path: str, operation: Json) -> list[Probe]:
    given = [parameter for parameter in operation.get("parameters", []) if parameter["in"] != "header"]
    content = operation.get("requestBody", {}).get("content", {})
    schema = _resolved(document, content.get("application/json", {}).get("schema", {}))
    properties = _resolved_properties(document, schema)
    query = {p["name"] for p in given if p["in"] == "query"}
    needed = {p["name"] for p in given if p["in"] == "query" and p["required"]}
    inside = {p["name"] for p in given if p["in"] == "path"}
    assert all(_ID.fullmatch(name) for name in inside), f"{method} {path}: say in OPERATORS, or here, what that is"
    slots = [name for name in (*inside, *query, *properties) if _ID.fullmatch(name) and name != "user_id"]
    if schema.get("type") == "array":
        slots.append("memory_ids")

    def probe(slot: str) -> Probe:
        def send(who: Person, id_: str) -> Answer:
            def value(name: str) -> Any:
                if name == slot:
                    return [id_] if name.endswith("s") else id_
                return who.ids["app"][0] if name == "app_id" else _REQUIRED[name]

            url = re.sub(r"{(\w+)}", lambda found: id_ if found[1] == slot else uuid7(), path)
            params = {name: value(name) for name in (*needed, *({slot} & query)) if name != "user_id"}
            if "user_id" in query:
                params["user_id"] = who.name
            body: Any = None
            if schema.get("type") == "array":
                body = [id_]
            elif properties:
                body = {name: value(name) for name in {*schema.get("required", ()), *({slot} & properties.keys())}}
                if "user_id" in properties:
                    body["user_id"] = who.name
            if path.endswith("/stream"):
                return _beginning(who, url, params, id_)
            return _answer(who, who.http.request(method, url, params=params, json=body), id_)

        return Probe(f"{method} {path} ({slot})", slot, send)

    return [probe(slot) for slot in dict.fromkeys(slots)]


def _resolved(document: Json, schema: Json) -> Json:
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolved(document, option)
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def _resolved_properties(document: Json, schema: Json) -> Json:
    return {name: _resolved(document, each) for name, each in schema.get("properties", {}).items()}


def _beginning(who: Person, url: str, params: Json, id_: str) -> Answer:
    """Of a stream that never ends: what it is opened with."""
    with who.http.stream("GET", url, params=params) as answer:
        first = next(answer.iter_text()) if answer.status_code == 200 else answer.read().decode()
        request = answer.request
        return _answer(
            who, httpx.Response(answer.status_code, headers=answer.headers, text=first, request=request), id_
        )


def _of_tool(name: str, schema: Json) -> list[Probe]:
    def probe(slot: str) -> Probe:
        def send(who: Person, id_: str) -> Answer:
            arguments = {each: _REQUIRED[each] for each in schema.get("required", ()) if each != slot}
            arguments[slot] = [id_] if slot.endswith("s") else id_
            return _rpc(who, "tools/call", {"name": name, "arguments": arguments}, id_)

        return Probe(f"{name} ({slot})", slot, send)

    return [probe(slot) for slot in schema.get("properties", {}) if _ID.fullmatch(slot)]


def _rpc(who: Person, method: str, params: Json, id_: str) -> Answer:
    answer = who.rpc("cursor", method, params)
    return _answer(who, httpx.Response(200, json=answer), id_)


def live(person: Person) -> None:
    """Let the person have something of every kind, and in every state."""
    mark = person.mark
    for app in ("cursor", "notes"):
        for number in range(4):
            text = f"{mark} {app} {number}"
            added = person.tool(app, "add_memories", text=text, categories=[mark], metadata={"of": mark}, infer=False)
            person.keep("memory", added["results"][0]["id"])
            person.keep("operation", added["operation_id"])
    person.tool("cursor", "add_memories", text="The gate code is 1234", categories=["codes"], infer=False)
    memories = person.ids["memory"]
    for number, state in ((0, "paused"), (1, "archived")):
        changed = person.ask(
            "POST", "/api/v1/memories/actions/pause", body={"memory_ids": [memories[number]], "state": state}
        )
        assert changed.status_code == 200, changed.text
    person.tool("cursor", "delete_memories", memory_ids=[memories[2]])
    defined = person.ask("POST", "/api/v1/memories/categories", body={"name": f"{mark} things", "description": mark})
    person.keep("category", defined.json()["id"])
    for app in person.ask("GET", "/api/v1/apps").json()["apps"]:
        person.keep("app", app["id"])
    app_id, about = person.ids["app"][1], {"effect": "deny", "memory_id": memories[3]}
    person.keep("rule", _made(person.ask("PUT", "/api/v1/access-rules", body={"app_id": app_id, **about})))
    about = {"after_days": 3000, "category": mark}
    person.keep("policy", _made(person.ask("POST", "/api/v1/archive-policies", body=about)))
    token = person.ask("POST", "/api/v1/tokens", body={"app": "cursor", "scopes": ["read"], "label": mark}).json()
    person.keep("token", str(uuid.UUID(token["id"])))


def _made(answer: httpx.Response) -> str:
    assert answer.status_code < 300, answer.text
    return next(iter(_UUID.findall(answer.text)))
