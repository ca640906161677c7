"""Every error that Memlog raises on purpose: one base class, a stable code each.

Transport layers map `status` to HTTP and to MCP tool errors in one place; nobody branches on message text. Of each
class, docs/errors.md shows the docstring as the cause, and `remedy`; `code` is stable.
"""

from typing import ClassVar


class MemlogError(Exception):
    """Something failed inside that nobody foresaw, or that is not told outside."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    remedy: ClassVar[str] = (
        "Look in the log of the server (`logs/` in the data folder) under the request id that the answer "
        "carries; it is a defect, please report it."
    )

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(MemlogError):
    """The request is wrong as it stands; sending it again cannot help."""

    code = "invalid_input"
    status = 422
    remedy = "Change what the message names, and send the request again."


class BadRequest(MemlogError):
    """The request is wrong as it stands; OpenMemory's clients know status 400 for it."""

    code = "bad_request"
    status = 400
    remedy = "Change what the message names, and send the request again."


class NotFound(MemlogError):
    """Unknown to this user: another user's id and an id that never existed look alike."""

    code = "not_found"
    status = 404
    remedy = "Check the id and the user (`user_id`). A list shows what there is."


class AppIsPaused(MemlogError):
    """The app was paused by the user: it may neither write nor read."""

    code = "app_paused"
    status = 403
    remedy = "Resume the app: `PUT /api/v1/apps/{app_id}?is_active=true`."


class Forbidden(MemlogError):
    """An app asked for what is its user's alone: what shows or changes all that the person has."""

    code = "forbidden"
    status = 403
    remedy = "Ask as the person: with a token of the app `dashboard` (`memlog token issue --app dashboard`)."


class Conflict(MemlogError):
    """The state of the target does not allow this."""

    code = "conflict"
    status = 409
    remedy = "Read the state of the target again, and decide anew."


class IdempotencyKeyReused(MemlogError):
    """The idempotency key was used before with another payload."""

    code = "idempotency_key_reused"
    status = 409
    remedy = "Use a new key for a new request; to retry a request, send exactly the same again."


class PayloadTooLarge(MemlogError):
    """The request's body is over the limit."""

    code = "payload_too_large"
    status = 413
    remedy = "Send less at once: split the text, or the request."


class Unavailable(MemlogError):
    """A part that this request needs does not answer. Nothing was lost; try again."""

    code = "unavailable"
    status = 503
    remedy = (
        "Try again in a moment. If it stays, `memlog status` says which part is down; start it, or look in its log."
    )


class LanguageModelAway(Unavailable):
    """The language model does not answer, or has too much to do: not before `retry_after` seconds, if it said so."""

    code = "language_model_away"
    remedy = (
        "Nothing is lost: what waits for the model goes on by itself when it answers again. See MEMLOG_LLM_BASE_URL."
    )

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LanguageModelFailed(MemlogError):
    """The language model refuses, or answers with something else than was asked for, again and again."""

    code = "language_model_failed"
    status = 502
    remedy = "The text is kept as it is. Try another model (MEMLOG_LLM), or see its key and address."


class ConcurrencyConflict(MemlogError):
    """An append expected another last sequence: somebody else wrote first."""

    code = "concurrency_conflict"
    status = 409
    remedy = "Try again: the next try sees what the other one wrote."


class LogNotTrusted(MemlogError):
    """Start-up checks of the log failed (architecture §7): serving would silently continue a wrong log."""

    code = "log_not_trusted"
    status = 503
    remedy = (
        "Nothing was changed. Restore the log from a backup, or build the derived stores anew if this log is "
        "the right one: docs/operations.md, 'The log is not trusted'."
    )


class ContentDamaged(MemlogError):
    """Sealed content does not open: the stored bytes were changed or moved (never silently skipped)."""

    code = "content_damaged"
    status = 503
    remedy = "Restore the log from a backup. `memlog dead list` shows which messages are concerned; the rest is served."


class KeyMissing(MemlogError):
    """The user's data key is destroyed: the content was erased."""

    code = "key_missing"
    status = 410
    remedy = "Nothing brings erased content back. If nothing was erased, restore MEMLOG_KEYS from a key backup."


class UnsupportedSchema(MemlogError):
    """A known event type with a newer schema version: this Memlog is older than the log."""

    code = "unsupported_schema"
    status = 503
    remedy = "Upgrade Memlog to the version that wrote the log, or a newer one."


class ConfigurationError(MemlogError):
    """A setting that cannot work; the message says which and what to do."""

    code = "configuration"
    status = 500
    remedy = "Change the setting that the message names: docs/operations.md explains each refusal."


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
