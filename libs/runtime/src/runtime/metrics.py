"""Metrics: what is counted and timed, for Prometheus and OTLP."""

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder


def exposition(accept: str | None) -> tuple[bytes, str]:
    """All metrics of this process in the text format that the caller prefers, and its content type."""
    encode, content_type = choose_encoder(accept or "")
    return encode(REGISTRY), content_type
