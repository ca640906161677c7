from dataclasses import dataclass

from contracts.connections import Connection
from gateway.asking import Caller
from gateway.connections import CALLS_S, Connections


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


ADA = Caller("ada", "cursor", "mcp")
BOB = Caller("bob", "cursor", "mcp")


def test_a_stream_is_connected_while_it_is_open_and_knows_its_last_call() -> None:
    clock = Clock()
    connections = Connections(clock)
    with connections.stream(ADA, "sse") as stream:
        assert connections.of("ada") == [Connection(app="cursor", kind="sse", since=1000, last_call=None)]
        clock.now += CALLS_S * 2
        connections.called(stream)
        assert connections.of("ada") == [Connection(app="cursor", kind="sse", since=1000, last_call=1600)]
        assert connections.of("bob") == []
    assert connections.of("ada") == []


def test_a_client_without_a_stream_is_connected_until_its_calls_are_long_past_and_then_anew() -> None:
    clock = Clock()
    connections = Connections(clock)
    connections.called(ADA)
    clock.now += CALLS_S
    connections.called(ADA)
    assert connections.of("ada") == [Connection(app="cursor", kind="calls", since=1000, last_call=1300)]
    clock.now += CALLS_S + 1
    assert connections.of("ada") == []
    connections.called(ADA)
    assert connections.of("ada") == [Connection(app="cursor", kind="calls", since=1601, last_call=1601)]


def test_two_streams_of_one_app_are_two_connections_and_the_newest_comes_first() -> None:
    clock = Clock()
    connections = Connections(clock)
    with connections.stream(ADA, "events"):
        clock.now += 1
        with connections.stream(ADA, "events"):
            connections.called(BOB)
            assert [each.since for each in connections.of("ada")] == [1001, 1000]
            assert [each.kind for each in connections.of("bob")] == ["calls"]


def test_names_without_end_are_not_all_remembered() -> None:
    connections = Connections(Clock())
    for number in range(10_000):
        connections.called(Caller("ada", f"app {number}", "mcp"))
    found = [each.app for each in connections.of("ada")]
    assert len(found) < 5_000 and "app 9999" in found and "app 0" not in found
