"""Fuzzes REST with schemathesis: data that fits the OpenAPI document and that does not; answers are held against it.

Half of the ids are some that answers told, and half of the users a few, so that cases meet what earlier ones stored.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Schemathesis leaves what an operation is open.

import random
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err, Result
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fuzz.generating import send_each
from fuzz.tally import Tally

USERS = ("fuzz-0", "fuzz-1", "fuzz-2")
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_AT_A_TIME = 40
_TIMEOUT_S = 90.0
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SAYS_NOT_READY = ("/readyz",)
"""Routes whose 503 is their answer."""


@dataclass(slots=True)
class _Fuzzer:
    url: str
    tally: Tally
    chance: random.Random
    session: requests.Session = field(default_factory=requests.Session)
    ids: deque[str] = field(default_factory=lambda: deque[str](maxlen=200))

    def send(self, case: Case[Any]) -> None:
        self._meet_what_is_there(case)
        label = f"{case.method} {case.operation.path}"
        if _streams(case):
            self._open(case, label)
            return
        try:
            response = case.call(base_url=self.url, session=self.session, timeout=_TIMEOUT_S)
        except requests.Timeout:
            self._failed("no answer", f"{label}: no answer within {_TIMEOUT_S:.0f} s", case)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            self._failed("cut off", f"{label}: {type(error).__name__}", case)
        except (requests.RequestException, ValueError):
            self.tally.answered("unsendable")
        else:
            self.tally.answered(response.status_code)
            if response.status_code < 300:
                self.ids.extend(id_.decode() for id_ in _UUID.findall(response.content)[:5])
            if response.status_code == 503 and case.operation.path in _SAYS_NOT_READY:
                return
            try:
                case.validate_response(response, checks=_CHECKS)
            except FailureGroup as group:
                for failure in group.exceptions:
                    self.tally.failed(f"{label}: {response.status_code} {failure.title}", case.as_curl_command())

    def _open(self, case: Case[Any], label: str) -> None:
        """A stream has no end: that it begins is all that is looked at."""
        given = case.as_transport_kwargs(base_url=self.url)
        try:
            with self.session.request(**given, stream=True, timeout=_TIMEOUT_S) as response:
                self.tally.answered(response.status_code)
                if response.status_code >= 500:
                    self.tally.failed(f"{label}: {response.status_code}", case.as_curl_command())
        except (requests.ConnectionError, requests.Timeout) as error:
            self._failed("cut off", f"{label}: {type(error).__name__}", case)
        except (requests.RequestException, ValueError):
            self.tally.answered("unsendable")

    def _failed(self, instead: str, what: str, case: Case[Any]) -> None:
        self.tally.answered(instead)
        self.tally.failed(what, case.as_curl_command())

    def _meet_what_is_there(self, case: Case[Any]) -> None:
        for values in (case.path_parameters, case.query, case.body):
            if not isinstance(values, dict):
                continue
            given: dict[str, Any] = values
            for name in given:
                if self.chance.random() < 0.5:
                    if name == "user_id":
                        given[name] = self.chance.choice(USERS)
                    elif self.ids and name.endswith(("_id", "_ids")):
                        one = self.chance.choice(self.ids)
                        given[name] = [one] if name.endswith("s") else one


def fuzz_rest(url: str, tally: Tally, seed: int | None, headers: dict[str, str]) -> None:
    """Send `tally.wanted` cases to all operations of the document that `url` serves, in turns: of this seed, or with
    None always the same, but for the ids that answers told."""
    fuzzer = _Fuzzer(url, tally, random.Random(seed or 0))
    fuzzer.session.headers.update(headers)
    with fuzzer.session:
        served = fuzzer.session.get(f"{url}/openapi.json", timeout=_TIMEOUT_S)
        served.raise_for_status()
        document = served.json()
        operations = [_sound(found) for found in schemathesis.openapi.from_dict(document).get_all_operations()]
        turn = 0
        while tally.left:
            fuzzer.chance.shuffle(operations)
            for operation in operations:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    count = min(tally.left, _AT_A_TIME, max(1, tally.wanted // (2 * len(operations))))
                    if count:
                        send_each(
                            operation.as_strategy(mode), count, fuzzer.send, None if seed is None else seed + turn
                        )
            turn += 1


def _sound(found: Result[APIOperation[Any, Any, Any, Any], InvalidSchema]) -> APIOperation[Any, Any, Any, Any]:
    if isinstance(found, Err):
        raise found.err()
    return found.ok()


def _streams(case: Case[Any]) -> bool:
    responses = case.operation.definition.raw["responses"].values()
    return any("text/event-stream" in response.get("content", {}) for response in responses)
