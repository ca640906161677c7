"""Messages in the clear and sealed again: the same message, whatever version or type it is of."""

import json
from typing import Any

import pytest
from contracts.codec import Undecodable, decode_event, encode, seal, unseal
from contracts.errors import ContentDamaged
from contracts.events import AppPaused, MemoryAdded
from support.keys import KEY, OTHER_KEY
from support.log_events import meta_of

META = meta_of("5bdc2b0c-9c35-5a0f-8f0a-3f1f3c0a7d11")
ADDED = MemoryAdded(memory_id="m1", text="Zürich ✈", metadata={"n": [1, 2.5, None]}, categories=("travel",))


def test_what_is_unsealed_and_sealed_with_another_key_means_the_same() -> None:
    envelope, content = unseal(encode(META, ADDED, KEY), KEY)
    assert content == {"text": "Zürich ✈", "metadata": {"n": [1, 2.5, None]}, "categories": ["travel"]}
    assert decode_event(seal(envelope, content, OTHER_KEY), OTHER_KEY) == (META, "MemoryAdded", ADDED)


def test_a_message_without_content_comes_back_byte_for_byte() -> None:
    raw = encode(META, AppPaused(app_id="a1"), None)
    assert seal(*unseal(raw, None), None) == raw


def test_fields_and_types_and_versions_of_the_future_stay_as_they_are() -> None:
    wire: dict[str, Any] = json.loads(encode(META, ADDED, KEY)) | {"schema_version": 9, "colour": {"is": "red"}}
    raw = json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode()
    envelope, content = unseal(raw, KEY)
    assert json.loads(seal(envelope, content, OTHER_KEY)) | {"sealed": wire["sealed"]} == wire


def test_what_does_not_open_is_never_passed_on_as_if_it_had_no_content() -> None:
    raw = encode(META, ADDED, KEY)
    with pytest.raises(ContentDamaged):
        unseal(raw, OTHER_KEY)
    with pytest.raises(Undecodable):
        unseal(raw, None)
    with pytest.raises(Undecodable):
        unseal(raw[:-1], KEY)
    with pytest.raises(Undecodable):
        seal({"type": "MemoryAdded"}, {"text": "x"}, KEY)
