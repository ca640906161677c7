"""Spans of messages and statements: whose children they are, what they say, and when there are none."""

from collections.abc import Generator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode
from runtime.spans import appending, handling, projecting, replaying, sending, statement
from runtime.telemetry import span, trace_as, trace_headers, trace_id, trace_to

STREAM = "MEMLOG_EVENTS_0"
_TRACES = tuple(f"{number:032x}" for number in (0xA1, 0xB2, 0xC3))
FIRST, SECOND, UNSAMPLED = (
    {"traceparent": f"00-{each}-00f067aa0ba902b7-{flags}"}
    for each, flags in zip(_TRACES, ("01", "01", "00"), strict=True)
)


@pytest.fixture
def ended() -> Generator[InMemorySpanExporter]:
    """The spans that have ended."""
    exporter = InMemorySpanExporter()
    trace_to(SimpleSpanProcessor(exporter))
    trace_as("tests")
    yield exporter
    trace_to(None)
    trace_as("tests")


def of_trace(spans: InMemorySpanExporter, headers: dict[str, str]) -> list[ReadableSpan]:
    wanted = trace_id(headers)
    return [each for each in spans.get_finished_spans() if format(context_of(each).trace_id, "032x") == wanted]


def context_of(each: ReadableSpan) -> SpanContext:
    assert each.context is not None
    return each.context


def test_a_message_is_handled_in_its_trace_and_what_is_sent_meanwhile_carries_it_on(
    ended: InMemorySpanExporter,
) -> None:
    with handling(STREAM, "Ask", FIRST), sending("OTHER", "Told"):
        carried = trace_headers()
    sent, handled = of_trace(ended, FIRST)
    assert (handled.name, sent.name) == (f"process {STREAM}", "send OTHER")
    assert sent.parent is not None and sent.parent.span_id == context_of(handled).span_id
    assert carried["traceparent"].split("-")[2] == format(context_of(sent).span_id, "016x")


def test_messages_of_many_traces_are_sent_with_a_span_for_each_trace(ended: InMemorySpanExporter) -> None:
    messages: list[tuple[dict[str, str], str]] = [
        (FIRST | {"Reply": "x"}, "A"),
        (SECOND, "A"),
        (FIRST, "B"),
        (UNSAMPLED, "A"),
        ({}, "A"),
    ]
    with appending(STREAM, messages) as carried:
        pass
    (first,), (second,) = of_trace(ended, FIRST), of_trace(ended, SECOND)
    assert first.attributes is not None and second.attributes is not None
    assert first.attributes["messaging.batch.message_count"] == 2
    assert first.attributes["memlog.message.types"] == "A B"
    assert second.attributes["messaging.batch.message_count"] == 1
    assert carried[0]["traceparent"] == carried[2]["traceparent"] != FIRST["traceparent"]
    assert trace_id(carried[0]) == trace_id(FIRST)
    assert carried[0]["Reply"] == "x"
    assert carried[3:] == [UNSAMPLED, {}]
    assert len(ended.get_finished_spans()) == 2


def test_a_batch_is_projected_in_each_of_its_traces_and_links_to_where_it_was_done(ended: InMemorySpanExporter) -> None:
    with projecting(STREAM, "index", [FIRST, SECOND, FIRST, UNSAMPLED]), statement("SELECT 1 FROM memlog.apps"):
        pass
    first, second = of_trace(ended, FIRST), of_trace(ended, SECOND)
    assert [each.name for each in first] == ["SELECT memlog.apps", f"process {STREAM}"]
    (other,) = second
    (link,) = other.links
    assert link.context.span_id == context_of(first[1]).span_id
    assert first[1].attributes is not None
    assert first[1].attributes["messaging.batch.message_count"] == 2


def test_a_batch_that_fails_is_marked_in_each_of_its_traces_without_words(ended: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), projecting(STREAM, "index", [FIRST, SECOND]):
        raise ValueError("secret")
    for each in ended.get_finished_spans():
        assert each.attributes is not None
        assert each.attributes["error.type"] == "ValueError"
        assert "secret" not in each.to_json()


def test_a_step_that_fails_says_of_what_kind_without_words_and_what_it_was_part_of_fails_too(
    ended: InMemorySpanExporter,
) -> None:
    with pytest.raises(ValueError), handling(STREAM, "Ask", FIRST), statement("SELECT 1 FROM memlog.memories"):
        raise ValueError("my secret")
    for each in of_trace(ended, FIRST):
        assert each.status.status_code is StatusCode.ERROR
        assert (each.attributes or {})["error.type"] == "ValueError"
        assert "secret" not in each.to_json()
    assert len(of_trace(ended, FIRST)) == 2


def test_a_replay_is_a_trace_of_its_own_that_links_to_others(ended: InMemorySpanExporter) -> None:
    with replaying(STREAM, "index", [FIRST, SECOND, FIRST, UNSAMPLED, {}]):
        pass
    (replayed,) = ended.get_finished_spans()
    assert replayed.parent is None
    assert [format(link.context.trace_id, "032x") for link in replayed.links] == list(_TRACES[:2])


def test_within_what_is_not_sampled_nothing_is_recorded_and_the_trace_goes_on(ended: InMemorySpanExporter) -> None:
    with projecting(STREAM, "index", [UNSAMPLED]):
        assert trace_headers() == UNSAMPLED
    with handling(STREAM, "Ask", UNSAMPLED), sending(STREAM, "Told"), statement("SELECT 1"):
        assert trace_id(trace_headers()) == trace_id(UNSAMPLED)
    assert ended.get_finished_spans() == ()


def test_where_nothing_is_exported_requests_have_trace_ids_all_the_same() -> None:
    trace_to(None)
    trace_as("tests")
    with span("request", {}) as request, sending(STREAM, "Told"):
        assert not request.is_recording()
        assert trace.get_current_span().get_span_context().is_valid
        assert trace_id(trace_headers()) == format(request.get_span_context().trace_id, "032x")


@pytest.mark.parametrize(
    ("query", "summary"),
    [
        ("SELECT a FROM memlog.users u JOIN memlog.apps a USING (x) WHERE t = 'memlog.x'", "memlog.users memlog.apps"),
        ("\n  WITH found AS (SELECT 1 FROM memlog.reads) SELECT * FROM found, f(now())", "memlog.reads"),
        ("SELECT extract(year FROM now())", ""),
    ],
    ids=["join", "with", "no table"],
)  # fmt: skip
def test_a_statement_is_summed_up_by_what_it_does_to_which_tables(
    ended: InMemorySpanExporter, query: str, summary: str
) -> None:
    with span("request", {}), statement(query):
        pass
    name = ended.get_finished_spans()[0].name
    assert name == f"SELECT {summary}".strip()
