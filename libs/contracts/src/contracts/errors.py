"""Every error that Memlog raises on purpose: one base class, a stable code each.

Transport layers map `status` to HTTP and to MCP tool errors in one place; nobody branches on message text.
"""


class MemlogError(Exception):
    """Base of all. `code` is stable and documented; `status` is the HTTP status it maps to."""

    code = "internal"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(MemlogError):
    """The request is wrong as it stands; sending it again cannot help."""

    code = "invalid_input"
    status = 422


class BadRequest(MemlogError):
    """As `InvalidInput`, where OpenMemory's clients know status 400."""

    code = "bad_request"
    status = 400


class NotFound(MemlogError):
    """Unknown to this user: another user's id and an id that never existed look alike."""

    code = "not_found"
    status = 404


class AppIsPaused(MemlogError):
    """The app was paused by the user: it may neither write nor read."""

    code = "app_paused"
    status = 403


class Forbidden(MemlogError):
    """The principal lacks the scope that the route or tool declares."""

    code = "forbidden"
    status = 403


class Conflict(MemlogError):
    """The state of the target does not allow this."""

    code = "conflict"
    status = 409


class IdempotencyKeyReused(MemlogError):
    """The idempotency key was used before with another payload."""

    code = "idempotency_key_reused"
    status = 409


class PayloadTooLarge(MemlogError):
    """The request's body is over the limit."""

    code = "payload_too_large"
    status = 413


class Unavailable(MemlogError):
    """A part that this request needs does not answer. Nothing was lost; try again."""

    code = "unavailable"
    status = 503


class ConcurrencyConflict(MemlogError):
    """An append expected another last sequence: somebody else wrote first."""

    code = "concurrency_conflict"
    status = 409


class LogNotTrusted(MemlogError):
    """Start-up checks of the log failed (architecture §7): serving would silently continue a wrong log."""

    code = "log_not_trusted"
    status = 503


class ContentDamaged(MemlogError):
    """Sealed content does not open: the stored bytes were changed or moved (never silently skipped)."""

    code = "content_damaged"
    status = 503


class KeyMissing(MemlogError):
    """The user's data key is destroyed: the content was erased."""

    code = "key_missing"
    status = 410


class UnsupportedSchema(MemlogError):
    """A known event type with a newer schema version: this Memlog is older than the log."""

    code = "unsupported_schema"
    status = 503


class ConfigurationError(MemlogError):
    """A setting that cannot work; the message says which and what to do."""

    code = "configuration"
    status = 500


def error_from_code(code: str, message: str) -> MemlogError:
    """The error that a stored `code` stands for (a refusal read back from the log); the base class for a code that
    this version does not know."""
    waiting = list(MemlogError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind(message)
        waiting += kind.__subclasses__()
    return MemlogError(message)
