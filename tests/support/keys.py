"""Data keys for tests: fixed, so that stored bytes and derived ids can be pinned."""

from hashlib import sha256

from contracts.errors import KeyMissing
from runtime.keys import SealingKey

KEY = SealingKey(bytes(range(32)))
OTHER_KEY = SealingKey(bytes(range(1, 33)))


class FixedKeys:
    """Where data keys are, without a server: each user has one, until it is destroyed; others with another `salt`."""

    def __init__(self) -> None:
        self.destroyed: set[str] = set()
        self.salt = ""

    async def get(self, uid: str) -> SealingKey:
        if uid in self.destroyed:
            raise KeyMissing("this user's content was erased: its key is destroyed")
        return SealingKey(sha256(f"{self.salt}{uid}".encode()).digest())
