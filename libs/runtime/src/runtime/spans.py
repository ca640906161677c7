"""What all services do: send and handle messages, ask databases and models. Each is a span; what is sent and asked is
timed for metrics, too.

Names and attributes are those of OpenTelemetry's conventions for messaging, databases and GenAI. Of a message the
stream is named and not the subject, which holds ids; of a statement what it does to which tables.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from types import TracebackType

from opentelemetry import context, trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from runtime.metrics import ASKED, EMBEDDED, PUBLISHED, QUERIES, TOKENS, took
from runtime.telemetry import Attributes, begin, being, extract, failed, span, step, trace_headers

Headers = Mapping[str, str]
_LINKS = 32
_PUBLISHING = ("messaging.system", "messaging.operation.name", "messaging.destination.name")
_QUERYING = ("db.system.name", "db.operation.name")
_ASKING = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")
"""Of the attributes of spans those that metrics have, too: of each there are few values."""
_SAMPLED = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf].*")
_VERB = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|SET)\b", re.I)
_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:ONLY\s+)?((?:[a-z_]\w*\.)?[a-z_]\w*)(?!\s*\()", re.I)


def sending(stream: str, type_: str) -> AbstractContextManager[step]:
    """A message of this type is sent within the block, and acknowledged; `trace_headers` are what to send with it."""
    message = _message("send", stream, {"memlog.message.types": type_})
    return _timed(PUBLISHED, _PUBLISHING, f"send {stream}", message, SpanKind.PRODUCER)


@contextmanager
def appending(stream: str, messages: Sequence[tuple[Headers, str]]) -> Generator[list[Headers]]:
    """Messages of many traces are sent together within the block: for each the headers of its trace, and its type.
    Yields what to send with each. There is a span for each trace, whatever the number of its messages."""
    types: dict[str, set[str]] = {}
    for headers, type_ in messages:
        if _sampled(headers):
            types.setdefault(headers["traceparent"], set()).add(type_)
    count = Counter(headers.get("traceparent") for headers, _ in messages)
    spans: dict[str, Span] = {}
    carried: dict[str, Headers] = {}
    for headers, _ in messages:
        parent = headers.get("traceparent")
        if parent in types and parent not in spans:
            more = {
                "messaging.batch.message_count": count[parent],
                "memlog.message.types": " ".join(sorted(types[parent])),
            }
            spans[parent] = begin(
                f"send {stream}", extract(headers), kind=SpanKind.PRODUCER, attributes=_message("send", stream, more)
            )
            carried[parent] = trace_headers(trace.set_span_in_context(spans[parent]))
    try:
        with took(PUBLISHED, _of(_PUBLISHING, _message("send", stream, {}))):
            yield [{**headers, **carried.get(headers.get("traceparent", ""), {})} for headers, _ in messages]
    finally:
        for each in spans.values():
            each.end()


def handling(stream: str, type_: str, headers: Headers) -> AbstractContextManager[Span]:
    """One message is handled within the block, in the trace that its headers carry."""
    attributes = _message("process", stream, {"memlog.message.types": type_})
    return span(f"process {stream}", headers, kind=SpanKind.CONSUMER, attributes=attributes)


@contextmanager
def projecting(stream: str, projection: str, messages: Sequence[Headers]) -> Generator[None]:
    """A batch is applied within the block. There is a span in each trace that has a message in it; what is done for all
    of them together stands in the first, to which the others link."""
    count = Counter(headers["traceparent"] for headers in messages if _sampled(headers))
    firsts = {headers.get("traceparent"): headers for headers in reversed(messages)}
    spans: list[Span] = []
    for parent, number in count.items():
        more = {"messaging.consumer.group.name": projection, "messaging.batch.message_count": number}
        begun = begin(
            f"process {stream}",
            extract(firsts[parent]),
            kind=SpanKind.CONSUMER,
            attributes=_message("process", stream, more),
            links=[Link(spans[0].get_span_context())] if spans else (),
        )
        spans.append(begun)
    if not spans:
        token = context.attach(extract(messages[0]))
        try:
            yield
        finally:
            context.detach(token)
        return
    others = spans[1:]
    try:
        with being(spans[0]):
            yield
    except Exception as error:
        for each in others:
            failed(each, type(error).__name__)
        raise
    finally:
        for each in others:
            each.end()


def replaying(stream: str, projection: str, messages: Iterable[Headers]) -> AbstractContextManager[Span]:
    """A batch of what was recorded long ago is applied again within the block: in a trace of its own (or in the current
    one), with links to those that the messages were recorded in."""
    seen = dict.fromkeys(headers["traceparent"] for headers in messages if _sampled(headers))
    contexts = (
        trace.get_current_span(extract({"traceparent": parent})).get_span_context()
        for parent, _ in zip(seen, range(_LINKS), strict=False)
    )
    return span(
        f"replay {stream}",
        kind=SpanKind.CONSUMER,
        attributes=_message("process", stream, {"messaging.consumer.group.name": projection}),
        links=[Link(each) for each in contexts],
    )


def statement(query: str) -> AbstractContextManager[step]:
    """A statement runs in PostgreSQL within the block."""
    summary = _summary(query)
    attributes = {
        "db.system.name": "postgresql",
        "db.operation.name": summary.partition(" ")[0],
        "db.query.summary": summary,
    }
    return _timed(QUERIES, _QUERYING, summary, attributes)


def transaction(generation: str, events: int) -> AbstractContextManager[step]:
    """A batch of events is applied to read models in PostgreSQL within the block."""
    attributes = {
        "db.system.name": "postgresql",
        "db.namespace": generation,
        "db.operation.name": "BATCH",
        "db.operation.batch.size": events,
    }
    return _timed(QUERIES, _QUERYING, f"BATCH {generation}", attributes)


def indexing(operation: str, store: str) -> AbstractContextManager[step]:
    """The vector index (`store`: which one) is searched or written within the block."""
    attributes = {"db.system.name": "qdrant", "db.operation.name": operation, "db.collection.name": store}
    return _timed(QUERIES, _QUERYING, f"{operation} {store}", attributes)


def embedding(model: str, provider: str, texts: int) -> AbstractContextManager[step]:
    """Texts are embedded within the block."""
    attributes = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "memlog.texts": texts,
    }
    EMBEDDED.record(texts, _of(_ASKING, attributes))
    return _timed(ASKED, _ASKING, f"embeddings {model}", attributes)


def asking(model: str, place: str) -> AbstractContextManager[step]:
    """A language model is asked within the block; `answered` says what came."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "server.address": place,
    }
    return _timed(ASKED, _ASKING, f"chat {model}", attributes)


def answered(of: step, asked: str, model: str, input_tokens: int, output_tokens: int) -> None:
    """What a language model says about its answer; `asked`: as it was asked for."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": asked}
    TOKENS.record(input_tokens, {**attributes, "gen_ai.token.type": "input"})
    TOKENS.record(output_tokens, {**attributes, "gen_ai.token.type": "output"})
    of.add(
        {
            "gen_ai.response.model": model,
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
        }
    )


def _message(operation: str, stream: str, more: Attributes) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "nats",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": stream,
        **more,
    }


class _timed:
    """A step, and how long it took by those of its attributes."""

    __slots__ = ("_step", "_took")

    def __init__(
        self,
        histogram: Histogram,
        names: Sequence[str],
        name: str,
        attributes: Mapping[str, AttributeValue],
        kind: SpanKind = SpanKind.CLIENT,
    ) -> None:
        self._took = took(histogram, _of(names, attributes))
        self._step = step(name, attributes, kind)

    def __enter__(self) -> step:
        self._took.__enter__()
        return self._step.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._step.__exit__(kind)
        self._took.__exit__(kind, error)


def _of(names: Sequence[str], attributes: Mapping[str, AttributeValue]) -> dict[str, str]:
    return {name: str(attributes[name]) for name in names}


def _sampled(headers: Headers) -> bool:
    return _SAMPLED.fullmatch(headers.get("traceparent", "")) is not None


@lru_cache(maxsize=512)
def _summary(query: str) -> str:
    """`SELECT memlog.memories memlog.apps`: the operation, and the tables in their order (`db.query.summary`)."""
    verb = _VERB.search(query)
    tables = dict.fromkeys(table for table in _TABLE.findall(query) if "." in table)
    return " ".join((verb[1].upper() if verb else "QUERY", *tables))[:255]
