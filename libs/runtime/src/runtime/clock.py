"""The time, in one place and in one form."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, UTC, cut to milliseconds: the precision that envelopes keep."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
