"""What the MCP conformance suite asks a server for by name: tools, resources and prompts that mean nothing.

Never served: imported only with the setting `conformance_fixtures`, which `make conformance` sets. The suite's server
requests (sampling, elicitation) need a way back to the client, so with these fixtures revision 2025-11-25 has sessions.
"""

import asyncio
import hmac
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CompleteRequestParams,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmptyResult,
    GetPromptRequestParams,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    ReadResourceRequestParams,
    Resource,
    ResourceTemplate,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    Tool,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

from gateway.mcp.boundary import Context

Json = dict[str, Any]
_P = TypeVar("_P", bound=BaseModel)
_Listing = TypeVar("_Listing", ListToolsResult, ListResourcesResult, ListResourceTemplatesResult, ListPromptsResult)

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
_STEP_S = 0.05
_STATE_KEY = os.urandom(32)


def add_fixtures(server: Server[Json]) -> None:
    """Let the server have the suite's fixtures beside its own tools, resources and prompts."""
    _extend_list(server, "tools/list", "tools", [_tool(name) for name in (*_TOOLS, *_ASKING)])
    _extend_list(server, "resources/list", "resources", _RESOURCES)
    _extend_list(server, "resources/templates/list", "resource_templates", [_TEMPLATE])
    _extend_list(server, "prompts/list", "prompts", _PROMPTS)
    _take(server, "tools/call", CallToolRequestParams, lambda p: p.name in _TOOLS or p.name in _ASKING, _call)
    _take(server, "resources/read", ReadResourceRequestParams, lambda p: p.uri in _CONTENTS or _templated(p.uri), _read)
    _take(server, "prompts/get", GetPromptRequestParams, lambda p: p.name.startswith("test_"), _prompt)
    _take(server, "completion/complete", CompleteRequestParams, lambda p: "test_" in str(p.ref), _complete)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _nothing)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, _nothing)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _nothing)


def _take(
    server: Server[Json],
    method: str,
    params_type: type[_P],
    ours: Callable[[_P], bool],
    handler: Callable[[Context, _P], Awaitable[Json]],
) -> None:
    """Requests that `ours` is true of go to `handler`, the others where they went before."""
    entry = server.get_request_handler(method)
    assert entry is not None

    async def handle(ctx: Context, params: _P) -> Any:
        return await (handler(ctx, params) if ours(params) else entry.handler(ctx, params))

    server.add_request_handler(method, params_type, handle)


def _extend_list(server: Server[Json], method: str, field: str, more: Sequence[Any]) -> None:
    entry = server.get_request_handler(method)
    assert entry is not None

    async def handle(ctx: Context, params: PaginatedRequestParams) -> Any:
        listing: Any = await entry.handler(ctx, params)
        return listing.model_copy(update={field: [*more, *getattr(listing, field)]})

    server.add_request_handler(method, PaginatedRequestParams, handle)


async def _nothing(ctx: Context, params: BaseModel) -> EmptyResult:
    return EmptyResult()


# -- tools ----------------------------------------------------------------------------------------------------------
def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _embedded(uri: str, mime_type: str, text: str) -> Json:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": text}}


_IMAGE: Json = {"type": "image", "data": _PNG, "mimeType": "image/png"}


def _done(*content: Json) -> Json:
    return {"content": [*content], "resultType": "complete"}


def _fixed(*content: Json) -> Callable[[Context, Json], Awaitable[Json]]:
    async def tool(ctx: Context, arguments: Json) -> Json:
        return _done(*content)

    return tool


async def _logs(ctx: Context, arguments: Json) -> Json:
    for step in ("started", "processing data", "completed"):
        await _log(ctx, f"Tool execution {step}")
        await asyncio.sleep(_STEP_S)
    return _done(_text("Tool with logging executed successfully"))


async def _log(ctx: Context, text: str) -> None:
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:  # there, only for requests that ask for it
        params = LoggingMessageNotificationParams(level="info", data=text, logger="conformance")
        await ctx.session.send_notification(LoggingMessageNotification(params=params), ctx.request_id)


async def _tells_progress(ctx: Context, arguments: Json) -> Json:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(_STEP_S)
    return _done(_text("Tool with progress executed successfully"))


async def _fails(ctx: Context, arguments: Json) -> Json:
    return {**_done(_text("This tool intentionally returns an error for testing")), "isError": True}


async def _samples(ctx: Context, arguments: Json) -> Json:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=arguments["prompt"]))
    request = CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    result = await ctx.session.send_request(request, CreateMessageResult, metadata=metadata)
    return _done(_text(f"LLM response: {result.content.text if result.content.type == 'text' else ''}"))


def _elicits(properties: Json, required: Sequence[str] = ()) -> Callable[[Context, Json], Awaitable[Json]]:
    async def tool(ctx: Context, arguments: Json) -> Json:
        schema = {"type": "object", "properties": properties, "required": [*required]}
        asked = ElicitRequestFormParams(message=arguments.get("message", "Please fill in"), requested_schema=schema)
        metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
        answer = await ctx.session.send_request(ElicitRequest(params=asked), ElicitResult, metadata=metadata)
        return _done(_text(f"User response: action={answer.action}, content={json.dumps(answer.content or {})}"))

    return tool


async def _needs_sampling(ctx: Context, arguments: Json) -> Json:
    if "sampling" not in _capabilities(ctx):
        data: Json = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs the capability 'sampling'", data)
    return _done(_text("The client can sample"))


def _capabilities(ctx: Context) -> Json:
    declared = ctx.session.client_capabilities
    return {} if declared is None else declared.model_dump(exclude_none=True)


_TITLED = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
_PLAIN = {"type": "string", "enum": ["option1", "option2", "option3"]}
_NAMES = {"enumNames": ["Option One", "Option Two", "Option Three"]}
_TOOLS: Mapping[str, Callable[[Context, Json], Awaitable[Json]]] = {
    "test_simple_text": _fixed(_text("This is a simple text response for testing.")),
    "test_image_content": _fixed(_IMAGE),
    "test_audio_content": _fixed({"type": "audio", "data": _WAV, "mimeType": "audio/wav"}),
    "test_embedded_resource": _fixed(
        _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": _fixed(
        _text("Multiple content types test:"),
        _IMAGE,
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ),
    "test_tool_with_logging": _logs,
    "test_logging_tool": _logs,
    "test_tool_with_progress": _tells_progress,
    "test_error_handling": _fails,
    "test_sampling": _samples,
    "test_missing_capability": _needs_sampling,
    "test_elicitation": _elicits({"response": {"type": "string", "description": "User's response"}}, ["response"]),
    "test_elicitation_sep1034_defaults": _elicits({
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }),
    "test_elicitation_sep1330_enums": _elicits({
        "untitledSingle": _PLAIN,
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {**_PLAIN, "enum": ["opt1", "opt2", "opt3"], **_NAMES},
        "untitledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": _PLAIN},
        "titledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"anyOf": _TITLED}},
    }),
}  # fmt: skip


# -- tools and a prompt that ask the client back, by their result (2026-07-28) ----------------------------------------
def _form(message: str, field: str, kind: str = "string") -> Json:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def _sampling(text: str) -> Json:
    message = {"role": "user", "content": _text(text)}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 100}}


_NAME = _form("What is your name?", "name")
_CAPITAL = _sampling("What is the capital of France?")
_ROOTS: Json = {"method": "roots/list", "params": {}}
_CONFIRM = _form("Please confirm", "ok", "boolean")
_ASKING: Mapping[str, tuple[Json, ...]] = {
    "test_input_required_result_elicitation": ({"user_name": _NAME},),
    "test_input_required_result_sampling": ({"capital_question": _CAPITAL},),
    "test_input_required_result_list_roots": ({"client_roots": _ROOTS},),
    "test_input_required_result_request_state": ({"confirm": _CONFIRM},),
    "test_input_required_result_multiple_inputs": (
        {"user_name": _NAME, "greeting": _sampling("Generate a greeting"), "client_roots": _ROOTS},
    ),
    "test_input_required_result_multi_round": (
        {"step1": _form("Step 1: What is your name?", "name")},
        {"step2": _form("Step 2: What is your favorite color?", "color")},
    ),
    "test_input_required_result_tampered_state": ({"confirm": _CONFIRM},),
    "test_input_required_result_capabilities": ({"user_name": _NAME, "capital_question": _CAPITAL},),
    "test_streaming_elicitation": ({"user_name": _NAME},),
}
"""What each asks for, round by round."""
_STATELESS = {"test_input_required_result_elicitation", "test_input_required_result_prompt"}
_NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}


async def _call(ctx: Context, params: CallToolRequestParams) -> Json:
    if params.name in _TOOLS:
        return await _TOOLS[params.name](ctx, params.arguments or {})
    return _ask(ctx, params, _ASKING[params.name]) or _done(_text("state-ok"))


def _ask(ctx: Context, params: CallToolRequestParams | GetPromptRequestParams, rounds: Sequence[Json]) -> Json | None:
    """What is still to be asked; None when all is answered. Raises `MCPError` for a state that was changed."""
    number = _round(params.name, params.request_state)
    if rounds[number].keys() <= (params.input_responses or {}).keys():
        number += 1
    if number == len(rounds):
        return None
    can = _capabilities(ctx)
    only = params.name == "test_input_required_result_capabilities"
    requests = {key: asked for key, asked in rounds[number].items() if not only or _NEEDS[asked["method"]] in can}
    state = {} if params.name in _STATELESS else {"requestState": _signed(params.name, number)}
    return {"resultType": "input_required", "inputRequests": requests, **state}


def _signed(name: str, number: int) -> str:
    return f"{number}.{hmac.digest(_STATE_KEY, f'{name}.{number}'.encode(), 'sha256').hex()}"


def _round(name: str, state: str | None) -> int:
    if state is None:
        return 0
    number = state.partition(".")[0]
    if not number.isdecimal() or not hmac.compare_digest(state, _signed(name, int(number))):
        raise MCPError(INVALID_PARAMS, "The request state is not one that this server gave")
    return int(number)


# -- resources, prompts, completion ---------------------------------------------------------------------------------
_CONTENTS: Mapping[str, Json] = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": _PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched resource content"},
}
_RESOURCES = [
    Resource(uri=uri, name=uri.removeprefix("test://"), description="A resource for testing", mime_type=it["mimeType"])
    for uri, it in _CONTENTS.items()
]
_TEMPLATE = ResourceTemplate(
    uri_template="test://template/{id}/data",
    name="template",
    description="A resource template with parameter substitution",
    mime_type="application/json",
)
_PROMPT_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}
_PROMPTS = [
    Prompt(
        name=name,
        description="A prompt for testing",
        arguments=[PromptArgument(name=argument, description="For testing", required=True) for argument in arguments],
    )
    for name, arguments in _PROMPT_ARGUMENTS.items()
]


def _tool(name: str) -> Tool:
    required = {"test_sampling": "prompt", "test_elicitation": "message"}.get(name)
    properties = {required: {"type": "string"}} if required else {}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return Tool(name=name, description="A tool for testing", input_schema=schema)


def _templated(uri: str) -> bool:
    return uri.startswith("test://template/") and uri.endswith("/data")


async def _read(ctx: Context, params: ReadResourceRequestParams) -> Json:
    found = _CONTENTS.get(params.uri)
    if found is None:
        id_ = params.uri.removeprefix("test://template/").removesuffix("/data")
        data = {"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"}
        found = {"mimeType": "application/json", "text": json.dumps(data)}
    return {"contents": [{"uri": params.uri, **found}], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def _prompt(ctx: Context, params: GetPromptRequestParams) -> Json:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            contents = [_text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            contents = [_text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            about = _embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing.")
            contents = [about, _text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            contents = [_IMAGE, _text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            asked = _ask(ctx, params, ({"user_context": _form("What context should the prompt use?", "context")},))
            if asked is not None:
                return asked
            contents = [_text("This prompt has its context.")]
        case _:
            raise MCPError(INVALID_PARAMS, "Unknown prompt")
    return {"messages": [{"role": "user", "content": each} for each in contents], "resultType": "complete"}


async def _complete(ctx: Context, params: CompleteRequestParams) -> Json:
    return {"completion": {"values": [], "total": 0, "hasMore": False}, "resultType": "complete"}
