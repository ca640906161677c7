"""How often a token may come, and how often an address with tokens that do not count. In memory, for each gateway."""

import os
import time
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from math import ceil

from contracts.errors import ConfigurationError
from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from gateway.auth.refusals import RateLimited

OFF = "off"
_NO_LIMIT = RateLimitItemPerMinute(2**62)
_BUCKETS = 1024
"""Addresses are counted in so many groups, so that no number of them takes more memory."""


def rate_limit(text: str) -> RateLimitItem:
    """`1200/minute`, `10 per second`, …, or `off`. Raises `ConfigurationError`."""
    if text.strip().lower() == OFF:
        return _NO_LIMIT
    try:
        limit = parse(text)
    except ValueError:
        limit = None
    if limit is None or limit.amount < 1:
        raise ConfigurationError(f"MEMLOG_RATE_LIMIT: '{text[:40]}' is no rate: say 1200/minute, 20/second, or off")
    return limit


class RateLimits:
    """Counts requests: of each token, and those of each address whose tokens do not count. A token that counts is not
    held up by others from its address that do not: many clients may share one, behind a proxy. Raises
    `ConfigurationError` for a rate that is none."""

    def __init__(self, requests: str, failures: str) -> None:
        self._requests = rate_limit(requests)
        self._failures = rate_limit(failures)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._salt = os.urandom(16)

    async def before(self, token: str, address: str) -> None:
        """Before a token is proven, which costs a look-up. `token`: its digest. Raises `RateLimited`."""
        if not await self._limiter.test(self._requests, token):
            raise await self._too_often(self._requests, token)
        bucket = self._bucket(address)
        if not await self._limiter.test(self._failures, bucket):
            used = await self._limiter.storage.get(self._requests.key_for(token))
            if not used:  # it has not been proven lately
                raise await self._too_often(self._failures, bucket)

    async def proven(self, token: str) -> None:
        """Count a request of a token that counts. Raises `RateLimited`."""
        if not await self._limiter.hit(self._requests, token):
            raise await self._too_often(self._requests, token)

    async def failed(self, address: str) -> None:
        """Count a token that does not count."""
        await self._limiter.hit(self._failures, self._bucket(address))

    async def _too_often(self, limit: RateLimitItem, key: str) -> RateLimited:
        stats = await self._limiter.get_window_stats(limit, key)
        what = "tokens that do not count" if limit is self._failures else "requests with this token"
        return RateLimited(f"too many {what}: {limit}", max(1, ceil(stats.reset_time - time.time())))

    def _bucket(self, address: str) -> str:
        digest = blake2b(_network(address).encode(), digest_size=4, key=self._salt).digest()
        return f"from-{int.from_bytes(digest) % _BUCKETS}"


def _network(address: str) -> str:
    """An address as one client has it: of IPv6, a client has the whole /64."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return parsed.exploded[:19]
    return str(parsed)
