"""Memlog's REST as the commands use it: what it answers, or one error that says what to do."""

import contextlib
from collections.abc import Generator, Mapping
from typing import Any, Self, TypeVar

import httpx
from contracts.errors import InvalidInput, MemlogError, error_from_code
from pydantic import BaseModel, ValidationError

from standalone.failures import NotReachable

_TIMEOUT_S = 60.0
_CONNECT_S = 5.0

V = TypeVar("V", bound=BaseModel)


class RestClient:
    """Talks to the Memlog at `url`. Every method raises `NotReachable` when none answers there, and the error that
    Memlog answered with."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url = url
        self._http = http

    @classmethod
    @contextlib.contextmanager
    def connect(cls, url: str) -> Generator[Self]:
        """A client for the length of the block. Proxies of the environment are not asked: Memlog is local."""
        timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S)
        try:
            http = httpx.Client(base_url=url, timeout=timeout, trust_env=False)
        except httpx.InvalidURL as error:
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
    ) -> httpx.Response:
        """The answer as it came, when it is no error."""
        query: dict[str, Any] = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            answer = self._http.request(method, path, params=query, json=body)
        except httpx.UnsupportedProtocol:
            raise _no_address(self.url, "it names no http:// or https://") from None
        except httpx.TransportError as error:
            raise self._not_reachable(type(error).__name__) from None
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
            raise error_from_code(problem["code"], problem["detail"])
        except (ValueError, KeyError, TypeError):
            raise self._not_reachable(
                f"what answers there is something else, with status {answer.status_code}"
            ) from None

    def _parsed(self, answer: httpx.Response, kind: type[V]) -> V:
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError:
            raise MemlogError(
                f"the Memlog at {self.url} answers in another form than this version knows: use its own memlog"
            ) from None

    def _not_reachable(self, why: str) -> NotReachable:
        return NotReachable(f"no Memlog answers at {self.url} ({why}). Start it with: memlog up")


def _no_address(url: str, why: str) -> InvalidInput:
    return InvalidInput(f"'{url}' is not an address ({why}); one looks like http://127.0.0.1:8765")
