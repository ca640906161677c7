"""Data keys for tests: fixed, so that stored bytes and derived ids can be pinned."""

from runtime.keys import SealingKey

KEY = SealingKey(bytes(range(32)))
OTHER_KEY = SealingKey(bytes(range(1, 33)))
