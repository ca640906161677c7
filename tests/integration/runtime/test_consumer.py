"""The consumer loop on a real server: in order, acknowledged after the handler, and nothing lost or stuck."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from contracts.streams import WRITER_CONSUMER, commands
from nats.aio.msg import Msg
from runtime.consumer import CommandConsumer, Handler
from runtime.outcome import Applied, NotApplicable, Outcome, Reject, Retry, Skipped
from runtime.pull import Pull
from support.log_events import UID, publish_raw
from support.servers import Log, Servers, dead_letters, eventually, opened, running

STREAM = commands(0).name


def _applied(_number: int, _attempt: int) -> Outcome:
    return Applied()


class Recorder:
    """A handler that notes what it is given; `answer` decides, by default everything is applied."""

    def __init__(self, answer: Callable[[int, int], Outcome] | None = None) -> None:
        self.handled: list[int] = []
        self.seen: list[int] = []
        self.deliveries: list[int] = []
        self._answer = answer or _applied

    async def handle(self, messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        for message in messages:
            number = int(message.data)
            self.handled.append(number)
            self.seen.append(seen)
            self.deliveries.append(message.metadata.num_delivered)
            outcomes.append(self._answer(number, self.handled.count(number)))
            if isinstance(outcomes[-1], Retry):
                break
        return outcomes


def _consumer(log: Log, handle: Handler) -> CommandConsumer:
    return CommandConsumer(log.client, log.js, STREAM, WRITER_CONSUMER, handle)


async def _publish(log: Log, numbers: range) -> None:
    for number in numbers:
        await publish_raw(log, str(number).encode(), uid=UID)


async def _ack_floor(log: Log) -> int:
    infos = await log.js.consumers_info(STREAM)
    return max((info.ack_floor.stream_seq for info in infos if info.ack_floor is not None), default=0)


async def _all_acked(log: Log, last: int) -> None:
    async def acked() -> bool:
        return await _ack_floor(log) == last

    await eventually(acked)


@pytest.mark.guarantee("G3")
async def test_commands_are_handled_in_order_and_acknowledged(log: Log) -> None:
    recorder = Recorder()
    await _publish(log, range(300))
    async with running(_consumer(log, recorder.handle).run()):
        await eventually(lambda: len(recorder.handled) == 300)
        await _publish(log, range(300, 310))
        await eventually(lambda: len(recorder.handled) == 310)
        await _all_acked(log, 310)
    assert recorder.handled == list(range(310))
    assert set(recorder.deliveries) == {1}


async def test_a_command_is_not_acknowledged_before_its_handler_has_ended(log: Log) -> None:
    may_end = asyncio.Event()
    recorder = Recorder()

    async def slow(messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        outcomes = await recorder.handle(messages, seen)
        await may_end.wait()
        return outcomes

    await _publish(log, range(3))
    async with running(_consumer(log, slow).run()):
        await eventually(lambda: recorder.handled)
        await log.client.flush()
        assert await _ack_floor(log) == 0
        may_end.set()
        await _all_acked(log, 3)


@pytest.mark.guarantee("G1", "G3")
async def test_after_a_crash_the_next_owner_gets_the_unacknowledged_ones_again_in_order(log: Log) -> None:
    dying = Recorder()

    async def dies_at_two(messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        await dying.handle(messages, seen)
        if 2 in dying.handled:
            await asyncio.Event().wait()  # killed in the middle: nothing is acknowledged any more
        return [Applied() for _ in messages]

    async with running(_consumer(log, dies_at_two).run()):
        await _publish(log, range(1))
        await _all_acked(log, 1)
        await _publish(log, range(1, 8))
        await eventually(lambda: 2 in dying.handled)
    floor = await _ack_floor(log)
    heir = Recorder()
    await _publish(log, range(8, 12))
    async with running(_consumer(log, heir.handle).run()):
        await eventually(lambda: 11 in heir.handled)
        await _all_acked(log, 12)
    assert heir.handled == list(range(floor, 12))
    assert heir.handled[0] <= 2


async def test_what_a_former_owner_may_have_handled_is_told_to_the_next(log: Log) -> None:
    await _publish(log, range(5))
    stuck = Recorder()

    async def never_ends(messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        await stuck.handle(messages, seen)
        await asyncio.Event().wait()
        return []

    # Two owners die in a row: the second one, before the first message came to it.
    async with running(_consumer(log, never_ends).run()):
        await eventually(lambda: stuck.handled)
    await log.js.reset_consumer(STREAM, WRITER_CONSUMER)
    heir = Recorder()
    async with running(_consumer(log, heir.handle).run()):
        await eventually(lambda: heir.handled == [0, 1, 2, 3, 4])
    assert all(seen >= 5 for seen in heir.seen)


async def test_when_the_consumer_itself_was_lost_everything_may_have_been_handled(log: Log) -> None:
    await _publish(log, range(5))
    async with running(_consumer(log, Recorder().handle).run()):
        await _all_acked(log, 5)
    await log.js.delete_consumer(STREAM, WRITER_CONSUMER)
    heir = Recorder()
    async with running(_consumer(log, heir.handle).run()):
        await eventually(lambda: heir.handled == [0, 1, 2, 3, 4])
        await _publish(log, range(5, 6))
        await eventually(lambda: 5 in heir.handled)
    assert heir.seen[:5] == [5] * 5
    assert heir.seen[5] < 6


@pytest.mark.guarantee("G3")
async def test_a_retry_keeps_the_order(log: Log) -> None:
    recorder = Recorder(lambda n, attempt: Retry(0.01, "not yet") if n == 3 and attempt < 4 else Applied())
    await _publish(log, range(8))
    async with running(_consumer(log, recorder.handle).run()):
        await eventually(lambda: 7 in recorder.handled)
        await _all_acked(log, 8)
    assert recorder.handled == [0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7]
    assert recorder.seen[4] >= 4  # it may have been stored the first time


@pytest.mark.guarantee("G12")
async def test_a_rejected_command_goes_to_the_dead_letters_and_delays_nobody(log: Log) -> None:
    recorder = Recorder(lambda n, attempt: Reject("broken:\nin two lines, ä") if n == 1 else Applied())
    await _publish(log, range(4))
    consumer = _consumer(log, recorder.handle)
    async with running(consumer.run()):
        await eventually(lambda: len(recorder.handled) == 4)
        await _all_acked(log, 4)
    [(data, headers)] = await dead_letters(log.js)
    assert data == b"1"
    assert headers["Memlog-Subject"].startswith(f"memlog.cmd.0.{UID}.")
    assert headers["Memlog-Reason"] == "broken: in two lines, \\xe4"
    assert consumer.counts == {"Applied": 3, "Reject": 1}


async def test_every_outcome_but_a_retry_ends_its_command(log: Log) -> None:
    answers: list[Outcome] = [Applied(), Skipped("handled before"), NotApplicable("unknown"), Reject("no")]
    recorder = Recorder(lambda n, attempt: answers[n])
    await _publish(log, range(4))
    consumer = _consumer(log, recorder.handle)
    async with running(consumer.run()):
        await _all_acked(log, 4)
    assert consumer.counts == {"Applied": 1, "Skipped": 1, "NotApplicable": 1, "Reject": 1}


async def test_an_error_of_the_handler_stops_the_consumer_with_it(log: Log) -> None:
    async def defective(messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        raise ZeroDivisionError

    await _publish(log, range(1))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(_consumer(log, defective).run(), 60)


@pytest.mark.guarantee("G1", "G3")
async def test_a_server_that_is_killed_and_comes_back_loses_and_reorders_nothing(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        recorder = Recorder()
        async with running(_consumer(log, recorder.handle).run()):
            await _publish(log, range(50))
            await eventually(lambda: len(recorder.handled) >= 10)
            await servers.kill()
            await servers.start()
            await eventually(lambda: log.client.is_connected)
            await _publish(log, range(50, 60))
            await eventually(lambda: 59 in recorder.handled)
            await _all_acked(log, 60)
    first_time = list(dict.fromkeys(recorder.handled))
    assert first_time == list(range(60))


@pytest.mark.guarantee("G3")
async def test_a_former_owner_that_still_listens_takes_no_command_away(log: Log) -> None:
    """A partitioned owner's request stays open at the server: what goes there must reach its heir in order."""
    async with running(_consumer(log, Recorder().handle).run()):
        await _publish(log, range(1))
        await _all_acked(log, 1)
    async with opened(log.settings) as cut_off, Pull(cut_off.client, STREAM, WRITER_CONSUMER, demand=50) as zombie:
        assert await zombie.batch(1, idle=0.1) == []
        heir = Recorder()
        async with running(_consumer(log, heir.handle).run()):
            for number in range(1, 40):
                await _publish(log, range(number, number + 1))
            await eventually(lambda: 39 in heir.handled)
    assert list(dict.fromkeys(heir.handled)) == list(range(1, 40))
