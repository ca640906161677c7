"""Structured logs. No memory text, query or name is ever logged: ids and counts only."""

import io
import logging
import sys
from pathlib import Path
from typing import Literal, TextIO, cast

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger


def _trace_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


class _Unfailing:
    """A stream for logs: a line that cannot be written (the disk is full) is lost, and nothing else fails of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return


def open_log_file(path: Path) -> TextIO:
    """A file to log to, which keeps nothing back that could fail when it is closed. Raises `OSError`."""
    return io.TextIOWrapper(path.open("ab", buffering=0), encoding="utf-8", write_through=True)  # pyright: ignore


def configure_logging(
    service: str, level: str = "info", form: Literal["json", "console"] = "json", to: TextIO | None = None
) -> None:
    """Set structlog up for this process: one JSON object a line on stderr (or `to`), or lines for a person. What
    libraries log by the standard library, from warnings on, becomes such lines too."""
    stream = cast(TextIO, _Unfailing(to or sys.stderr))
    if form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:  # its default traceback prints local variables, and so memory texts
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    of_libraries = logging.StreamHandler(stream)
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *processors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[of_libraries])
