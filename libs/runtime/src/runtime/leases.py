"""Leases: one owner at a time for each (role, shard), by compare-and-set in a KV bucket.

The revision at which a lease was won is the owner's epoch: it only grows, so a store can refuse a former owner.
Expiry needs no common clock: a standby takes over when it has seen no change for the lease's time to live.

Leases of the shards of a role spread over the processes that stand for them, so that one that joins later has work as
well. A process that has at least two fewer than another one wishes for one of these, in the lease itself; at its next
renewal the owner ends its work in good order and leaves the lease to whoever wished for it.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable

import structlog
from contracts.errors import ConcurrencyConflict
from contracts.streams import LEASE_BUCKET
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import APIError, BucketNotFoundError, KeyNotFoundError
from nats.js.kv import KeyValue

from runtime.errors import NATS_FAILURES, nats_errors
from runtime.metrics import LEASE_HELD
from runtime.tasks import end, to_its_end

log = structlog.get_logger()
_RELEASED = b""
_WISHED = b"?"
"""Between the owner and who wishes for its lease. Without an owner, it was left to the latter."""
_EPOCHS = "epochs"
"""No lease: a key that is written to get the next revision."""


class Leases:
    """Hands out leases to one owner (a process). `ttl` in seconds; `sole`: nobody else can be alive, so a lease
    left behind by a dead process is taken at once."""

    def __init__(self, bucket: KeyValue, owner: str, ttl: float, sole: bool) -> None:
        self._bucket = bucket
        # Hosts may share a name and a process number may be used again: an owner is never mistaken for another.
        self._owner = f"{owner}#{os.urandom(6).hex()}".encode()
        self._ttl = ttl
        self._sole = sole
        self._until: dict[str, float] = {}
        self._owners: dict[str, bytes | None] = {}
        """Of the leases that are stood for; None while it is not known."""
        self._wishes: dict[str, float] = {}
        """Until when a wish of a role keeps it from another one."""

    @classmethod
    async def open(cls, js: JetStreamContext, owner: str, ttl: float, replicas: int, sole: bool) -> "Leases":
        try:
            bucket = await js.key_value(LEASE_BUCKET)
        except BucketNotFoundError:
            bucket = await js.create_key_value(  # pyright: ignore[reportUnknownMemberType]
                KeyValueConfig(bucket=LEASE_BUCKET, history=1, storage=StorageType.FILE, replicas=replicas)
            )
        return cls(bucket, owner, ttl, sole)

    async def run_owned(self, name: str, body: Callable[[int], Awaitable[None]]) -> None:
        """Own `name` and run `body(epoch)`; when the lease is lost, cancel it and stand by again. Returns when `body`
        returns; errors of `body` propagate. Cancelling gives the lease back."""
        self._owners[name] = None
        try:
            with LEASE_HELD.known(lambda: [(float(self.holds(name)), {"lease": name})]):
                await self._run_owned(name, body)
        finally:
            del self._owners[name]

    async def _run_owned(self, name: str, body: Callable[[int], Awaitable[None]]) -> None:
        while True:
            epoch = await self._acquire(name)
            log.info("lease_acquired", lease=name, epoch=epoch)
            work = asyncio.ensure_future(body(epoch))
            renewal = asyncio.ensure_future(self._renew(name, epoch))
            try:
                await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    try:
                        return work.result()
                    except ConcurrencyConflict as error:  # a newer owner was noticed by what it wrote
                        log.warning("lease_overtaken", lease=name, epoch=epoch, reason=error.message)
                elif renewal.result():
                    log.info("lease_handed_over", lease=name, epoch=epoch)
                else:
                    log.warning("lease_lost", lease=name, epoch=epoch)
            finally:
                await to_its_end(self._give_back(name, work, renewal))

    def holds(self, name: str) -> bool:
        """Whether the lease is surely this owner's still, by its own clock: an owner that slept must look before it
        acts, since another may have taken over meanwhile."""
        return time.monotonic() < self._until.get(name, 0.0)

    async def fresh_epoch(self) -> int:
        """An epoch above all that were handed out so far, by whichever lease: the bucket counts them together. Raises
        `Unavailable`."""
        with nats_errors("count an epoch"):
            return await self._bucket.put(_EPOCHS, b"")

    async def _acquire(self, name: str) -> int:
        seen: int | None = None
        since = time.monotonic()
        while True:
            with contextlib.suppress(*NATS_FAILURES):
                try:
                    entry = await self._bucket.get(name)
                    revision, value = entry.revision or 0, entry.value
                except KeyNotFoundError:
                    revision, value = 0, _RELEASED
                owner, _, wished = (value or _RELEASED).partition(_WISHED)
                self._owners[name] = owner
                renewed = seen not in (None, revision)
                if revision != seen:
                    seen, since = revision, time.monotonic()
                # After an outage the lease may still be our own, from before.
                ours = owner == self._owner or (not owner and wished in (b"", self._owner))
                with contextlib.suppress(APIError):  # somebody was quicker
                    if ours or self._sole or time.monotonic() - since > self._ttl:
                        asked = time.monotonic()
                        epoch = await self._bucket.update(name, self._owner, last=revision)
                        self._until[name] = asked + self._ttl
                        self._owners[name] = self._owner
                        self._wishes.pop(_role(name), None)
                        return epoch
                    # Of a living owner alone: a change makes all who stand by for a dead one wait anew.
                    if renewed and not wished and self._has_too_few(name, owner):
                        self._wishes[_role(name)] = time.monotonic() + 2 * self._ttl
                        await self._bucket.update(name, owner + _WISHED + self._owner, last=revision)
            await asyncio.sleep(min(0.5, self._ttl / 8))

    def _has_too_few(self, name: str, owner: bytes) -> bool:
        """Whether `owner` has at least two more than this process of the leases on shards of the same role: with one
        more, both would have reason to wish, in turns. One wish at a time: it is fulfilled first."""
        role = _role(name)
        owners = [known for other, known in self._owners.items() if _role(other) == role]
        if not role or not owner or None in owners or time.monotonic() < self._wishes.get(role, 0.0):
            return False
        return owners.count(owner) - owners.count(self._owner) >= 2

    async def _renew(self, name: str, revision: int) -> bool:
        """Renew until it fails for good, or, which is what is returned, until somebody wishes for the lease."""
        renewed = time.monotonic()
        while time.monotonic() - renewed < self._ttl * 0.7:
            await asyncio.sleep(self._ttl / 4)
            asked = time.monotonic()
            try:
                revision = await asyncio.wait_for(
                    self._bucket.update(name, self._owner, last=revision), timeout=self._ttl / 4
                )
                renewed = time.monotonic()
                self._until[name] = asked + self._ttl
            except APIError:
                # A renewal whose ack was lost has moved the revision itself.
                mine = await self._mine(name)
                if mine is None:
                    return False
                revision, wished = mine
                if wished:
                    return True
            except NATS_FAILURES as error:
                log.warning("lease_renewal_failed", lease=name, error=str(error) or type(error).__name__)
        return False

    async def _mine(self, name: str) -> tuple[int, bytes] | None:
        """The lease's revision while it is this owner's, and who wishes for it; None when it is not, or cannot be
        asked."""
        with contextlib.suppress(*NATS_FAILURES):
            entry = await self._bucket.get(name)
            owner, _, wished = (entry.value or _RELEASED).partition(_WISHED)
            if owner == self._owner and entry.revision is not None:
                return entry.revision, wished
        return None

    async def _give_back(self, name: str, work: "asyncio.Future[None]", renewal: "asyncio.Future[bool]") -> None:
        await end(work, renewal)
        for task in (work, renewal):
            if not task.cancelled():
                task.exception()  # retrieved: it is propagated, or of no interest any more
        self._owners[name] = None
        await self._release(name)

    async def _release(self, name: str) -> None:
        with contextlib.suppress(*NATS_FAILURES):
            async with asyncio.timeout(1.0):
                mine = await self._mine(name)
                if mine is not None:
                    revision, wished = mine
                    await self._bucket.update(name, _WISHED + wished if wished else _RELEASED, last=revision)


def _role(name: str) -> str:
    """`index` of `index.2`; empty for what is no lease on a shard."""
    role, _, shard = name.rpartition(".")
    return role if shard.isdigit() else ""
