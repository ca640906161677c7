"""`/api/v1/config`: settings in OpenMemory's shape (surface §1.2)."""

from typing import Annotated, Any, Literal

from contracts.configuration import Configuration, Configured, Embedder, Llm, OpenMemoryPart, VectorStore
from fastapi import Query, Response
from pydantic import BaseModel, Field

from gateway.inputs import STRICT, Instructions, Metadata, Needle
from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/config", "config")
FROM_ENVIRONMENT = "Memlog-From-Environment"
_KEY = "Where the key is: `env:NAME` or `file:/path`. It is shown as `env:***`, which sent back changes nothing"


class Changing(Params):
    confirm: Literal["rebuild"] | None = Field(
        default=None, description="`rebuild`: another embedder is meant, and the index may be built anew for it"
    )


class _Change(BaseModel):
    """Base of what is sent: what is absent stays as it is."""

    model_config = STRICT

    def sent(self) -> dict[str, Any]:
        """What the body holds, and nothing else."""
        return self.model_dump(exclude_unset=True)


class ModelChange(_Change):
    model: Needle | None = None
    api_key: Needle | None = Field(default=None, description=_KEY)
    base_url: Needle | None = Field(default=None, description="Of an endpoint that speaks the OpenAI API")
    ollama_base_url: Needle | None = Field(default=None, description="OpenMemory's name for `base_url`")


class LlmModelChange(ModelChange):
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)


class LlmChange(_Change):
    provider: Needle | None = Field(default=None, examples=["openai", "ollama"])
    config: LlmModelChange | None = None


class EmbedderChange(_Change):
    provider: Needle | None = Field(default=None, examples=["minilm", "openai"])
    config: ModelChange | None = None


class VectorStoreChange(_Change):
    """Only what GET shows is taken: it cannot be changed here."""

    provider: Needle | None = None
    config: Metadata | None = None


class OpenMemoryChange(_Change):
    custom_instructions: Instructions | None = Field(
        default=None, description="Said to the language model besides its own instructions; null or empty: none"
    )


class Mem0Change(_Change):
    llm: LlmChange | None = Field(default=None, description="null: no language model is asked")
    embedder: EmbedderChange | None = Field(default=None, description="null: the one that Memlog brings along")
    vector_store: VectorStoreChange | None = None


class ConfigurationChange(_Change):
    openmemory: OpenMemoryChange | None = None
    mem0: Mem0Change | None = None


_Params = Annotated[Params, Query()]
_Changing = Annotated[Changing, Query()]


def _told(configured: Configured, response: Response) -> Configuration:
    response.headers[FROM_ENVIRONMENT] = ", ".join(configured.from_environment)
    return configured.configuration


async def _set(rest: RestDep, params: Changing, change: dict[str, Any], response: Response) -> Configuration:
    """Sections that are given replace those that were there."""
    caller = rest.caller(params.user_id)
    confirmed = params.confirm is not None
    configured = await rest.service.change_configuration(caller, change, merge=False, confirmed=confirmed)
    return _told(configured, response)


@routes.get("", dependencies=[requires(Scope.READ)])
async def get_configuration(params: _Params, rest: RestDep, response: Response) -> Configuration:
    """What is in force. Custom instructions are the user's; language model, embedder and vector store are the server's.
    The header `Memlog-From-Environment` names the sections that the environment sets: they win over what is stored, and
    cannot be changed here."""
    return _told(await rest.service.configuration(rest.caller(params.user_id)), response)


@routes.put("", dependencies=[requires(Scope.ADMIN)])
async def set_configuration(
    params: _Changing, body: ConfigurationChange, rest: RestDep, response: Response
) -> Configuration:
    """Replace the sections that are given (`openmemory`, `mem0.llm`, `mem0.embedder`); others stay. A change is in
    force within a second or two, without a restart. Another embedder has the index built anew: 409 unless confirmed."""
    return await _set(rest, params, body.sent(), response)


@routes.patch("", dependencies=[requires(Scope.ADMIN)])
async def patch_configuration(
    params: _Changing, body: ConfigurationChange, rest: RestDep, response: Response
) -> Configuration:
    """Change single values: what is not given stays, null takes a value away."""
    caller, confirmed = rest.caller(params.user_id), params.confirm is not None
    changed = await rest.service.change_configuration(caller, body.sent(), merge=True, confirmed=confirmed)
    return _told(changed, response)


@routes.post("/reset", dependencies=[requires(Scope.ADMIN)])
async def reset_configuration(params: _Changing, rest: RestDep, response: Response) -> Configuration:
    """Everything as if it had never been set; for other users than the default one, their custom instructions."""
    caller, confirmed = rest.caller(params.user_id), params.confirm is not None
    return _told(await rest.service.reset_configuration(caller, confirmed=confirmed), response)


@routes.get("/mem0/llm", dependencies=[requires(Scope.READ)])
async def get_llm(params: _Params, rest: RestDep, response: Response) -> Llm | None:
    """The language model; null while none is asked."""
    return (await get_configuration(params, rest, response)).mem0.llm


@routes.put("/mem0/llm", dependencies=[requires(Scope.ADMIN)])
async def set_llm(params: _Changing, body: LlmChange, rest: RestDep, response: Response) -> Llm | None:
    """Ask this language model from now on: texts are sent to it."""
    return (await _set(rest, params, {"mem0": {"llm": body.sent()}}, response)).mem0.llm


@routes.get("/mem0/embedder", dependencies=[requires(Scope.READ)])
async def get_embedder(params: _Params, rest: RestDep, response: Response) -> Embedder | None:
    """The embedder that is wanted; `/api/v1/projections/index` shows with which one the index was made."""
    return (await get_configuration(params, rest, response)).mem0.embedder


@routes.put("/mem0/embedder", dependencies=[requires(Scope.ADMIN)])
async def set_embedder(params: _Changing, body: EmbedderChange, rest: RestDep, response: Response) -> Embedder | None:
    """Use this embedder: 409 unless it is confirmed that the index is built anew for it."""
    return (await _set(rest, params, {"mem0": {"embedder": body.sent()}}, response)).mem0.embedder


@routes.get("/mem0/vector_store", dependencies=[requires(Scope.READ)])
async def get_vector_store(params: _Params, rest: RestDep, response: Response) -> VectorStore | None:
    """Where the index is kept."""
    return (await get_configuration(params, rest, response)).mem0.vector_store


@routes.put("/mem0/vector_store", dependencies=[requires(Scope.ADMIN)])
async def set_vector_store(
    params: _Changing, body: VectorStoreChange, rest: RestDep, response: Response
) -> VectorStore | None:
    """409: it is set at the start, by MEMLOG_QDRANT_URL or MEMLOG_INDEX_PATH. What GET shows is taken, and changes
    nothing."""
    return (await _set(rest, params, {"mem0": {"vector_store": body.sent()}}, response)).mem0.vector_store


@routes.get("/openmemory", dependencies=[requires(Scope.READ)])
async def get_openmemory(params: _Params, rest: RestDep, response: Response) -> OpenMemoryPart:
    """The user's custom instructions."""
    return (await get_configuration(params, rest, response)).openmemory


@routes.put("/openmemory", dependencies=[requires(Scope.WRITE)])
async def set_openmemory(
    params: _Changing, body: OpenMemoryChange, rest: RestDep, response: Response
) -> OpenMemoryPart:
    """Change the user's custom instructions."""
    return (await _set(rest, params, {"openmemory": body.sent()}, response)).openmemory
