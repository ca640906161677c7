"""A client for HTTP, as servers beside Memlog are asked."""

import ssl
from functools import cache

import httpx


def http_client(timeout: float) -> httpx.AsyncClient:
    """To be closed by the caller; `timeout` in seconds. It trusts whom this machine trusts."""
    return httpx.AsyncClient(timeout=timeout, verify=_trusted())


@cache
def _trusted() -> ssl.SSLContext:
    # Once: to read all certificates takes 30 ms, in which nothing else of the process is done.
    return httpx.create_ssl_context()
