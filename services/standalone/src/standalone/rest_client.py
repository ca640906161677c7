"""Memlog's REST as the commands use it: what it answers, or one error that says what to do."""

import contextlib
from collections.abc import Generator, Mapping
from http import HTTPStatus
from typing import Any, Self, TypeVar

import httpx2
from contracts.errors import Forbidden, InvalidInput, MemlogError, error_from_code
from pydantic import BaseModel, ValidationError

from standalone.failures import NotReachable

_TIMEOUT_S = 60.0
_CONNECT_S = 5.0

V = TypeVar("V", bound=BaseModel)


class RestClient:
    """Talks to the Memlog at `url`. Every method raises `NotReachable` when none answers there, and the error that
    Memlog answered with."""

    def __init__(self, url: str, http: httpx2.Client) -> None:
        self.url = url
        self._http = http

    @property
    def says_who(self) -> bool:
        """Whether it sends a token, which names user and app."""
        return "Authorization" in self._http.headers

    @classmethod
    @contextlib.contextmanager
    def connect(cls, url: str, token: str | None = None) -> Generator[Self]:
        """A client for the length of the block, which sends `token` if there is one. Proxies of the environment are not
        asked: Memlog is local. Raises `InvalidInput` for what can be no address or no token."""
        timeout = httpx2.Timeout(_TIMEOUT_S, connect=_CONNECT_S)
        try:
            # Where nothing is encrypted, nobody's certificate is looked at: those of this machine need not be read.
            secure = not url.startswith("http://")
            http = httpx2.Client(base_url=url, headers=bearer(token), timeout=timeout, trust_env=False, verify=secure)
        except httpx2.InvalidURL as error:
            raise _no_address(url, str(error)) from None
        with http:
            yield cls(url, http)

    def get(self, path: str, kind: type[V], **params: object) -> V:
        """`None` as a parameter leaves it out."""
        return self._parsed(self.send("GET", path, params=params), kind)

    def call(self, method: str, path: str, kind: type[V], body: Mapping[str, object] | None = None) -> V:
        return self._parsed(self.send(method, path, body=body), kind)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> httpx2.Response:
        """The answer as it came, when it is no error."""
        query: dict[str, Any] = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            answer = self._http.request(method, path, params=query, json=body)
        except httpx2.UnsupportedProtocol:
            raise _no_address(self.url, "it names no http:// or https://") from None
        except httpx2.TransportError as error:
            raise self._not_reachable(type(error).__name__) from None
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
            raise _refusal(problem["code"], problem["detail"])
        except (ValueError, KeyError, TypeError):
            raise self._not_reachable(
                f"what answers there is something else, with status {answer.status_code}"
            ) from None

    def _parsed(self, answer: httpx2.Response, kind: type[V]) -> V:
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError:
            raise MemlogError(
                f"the Memlog at {self.url} answers in another form than this version knows: use its own memlog"
            ) from None

    def _not_reachable(self, why: str) -> NotReachable:
        return NotReachable(f"no Memlog answers at {self.url} ({why}). Start it with: memlog up")


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries the token, if there is one. Raises `InvalidInput` for what can be none."""
    if token is None:
        return {}
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("MEMLOG_TOKEN (or --token) holds no token: one looks like memlog_0123…")
    return {"Authorization": f"Bearer {token}"}


def _refusal(code: str, detail: str) -> MemlogError:
    from gateway.auth import refusals  # with it, the codes of all refusals are known

    error = error_from_code(code, detail)
    if error.status == HTTPStatus.UNAUTHORIZED:
        remedy = "Set MEMLOG_TOKEN, or say --token; whoever runs this Memlog makes one: memlog token issue"
    elif isinstance(error, Forbidden) or type(error).__module__ == refusals.__name__:
        remedy = error.remedy
    else:
        return error
    error.message = f"{detail}. {remedy}"
    return error


def _no_address(url: str, why: str) -> InvalidInput:
    return InvalidInput(f"'{url}' is not an address ({why}); one looks like http://127.0.0.1:8765")
