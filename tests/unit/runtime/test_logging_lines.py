"""Lines of the log: JSON, each with the trace that it belongs to, whoever wrote it."""

import io
import json
import logging
from collections.abc import Generator
from typing import Any

import pytest
import structlog
from runtime.logging import configure_logging
from runtime.telemetry import span, trace_as


@pytest.fixture
def lines() -> Generator[io.StringIO]:
    """What is logged. All that is changed is put back."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, root.handlers = root.handlers, []
    level, to = root.level, io.StringIO()
    configure_logging("tests", to=to)
    try:
        yield to
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.contextvars.clear_contextvars()
        structlog.configure(**before)


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_within_a_trace_names_it_and_the_span(lines: io.StringIO) -> None:
    trace_as("tests")
    with span("work", {}) as working:
        structlog.get_logger().info("done", count=3)
    structlog.get_logger().info("after")
    within, after = read(lines)
    context = working.get_span_context()
    assert within["trace_id"] == format(context.trace_id, "032x")
    assert within["span_id"] == format(context.span_id, "016x")
    assert (within["event"], within["count"], within["service"]) == ("done", 3, "tests")
    assert "trace_id" not in after


def test_what_a_library_logs_is_such_a_line_too(lines: io.StringIO) -> None:
    trace_as("tests")
    with span("work", {}) as working:
        logging.getLogger("some.library").warning("took %d tries", 3)
        logging.getLogger("some.library").info("nobody wants to know")
        try:
            raise OSError("disk")
        except OSError:
            logging.getLogger("some.library").exception("failed")
    tried, failed = read(lines)
    assert tried["event"] == "took 3 tries"
    assert tried["level"] == "warning"
    assert tried["logger"] == "some.library"
    assert tried["trace_id"] == format(working.get_span_context().trace_id, "032x")
    assert "OSError: disk" in failed["exception"]
