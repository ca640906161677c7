"""An authenticator in memory, to test transports with. The real ones are tested on a whole Memlog."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import uuid4

from contracts.errors import Unavailable
from contracts.ids import OWNER_APP
from gateway.auth.identity import Identity, Unauthenticated
from gateway.service import Scope

EVERYTHING = frozenset(Scope)


@dataclass
class FakeAuthenticator:
    """`asked` counts how often each token was to be proven; while `down`, nothing can be known."""

    identities: dict[str, Identity] = field(default_factory=dict[str, Identity])
    asked: Counter[str] = field(default_factory=Counter[str])
    down: bool = False

    @property
    def proofs(self) -> int:
        return self.asked.total()

    def proofs_of(self, header: dict[str, str]) -> int:
        return self.asked[header["Authorization"].removeprefix("Bearer ")]

    def issue(
        self, user: str = "ada", app: str = "cursor", scopes: Iterable[Scope] = EVERYTHING, *, operator: bool = False
    ) -> dict[str, str]:
        """The header with a token."""
        bearer = uuid4().hex
        self.identities[bearer] = Identity(user, app, frozenset(scopes), f"token:{bearer[:8]}", operator)
        return {"Authorization": f"Bearer {bearer}"}

    def owner(
        self, user: str = "ada", scopes: Iterable[Scope] = EVERYTHING, *, operator: bool = False
    ) -> dict[str, str]:
        """The header with a token of the person."""
        return self.issue(user, OWNER_APP, scopes, operator=operator)

    def revoke(self, header: dict[str, str]) -> None:
        del self.identities[header["Authorization"].removeprefix("Bearer ")]

    def knows(self, bearer: str) -> bool:
        return bearer.isalnum()

    async def authenticate(self, bearer: str) -> Identity:
        self.asked[bearer] += 1
        if self.down:
            raise Unavailable("the log does not answer")
        if bearer not in self.identities:
            raise Unauthenticated("this token does not count")
        return self.identities[bearer]
