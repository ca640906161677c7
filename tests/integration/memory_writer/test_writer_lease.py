"""An owner whose lease has run out appends nothing, even before it has noticed that it lost it."""

import asyncio

import pytest
from contracts.commands import AddMemory
from runtime.leases import Leases
from support.servers import Log
from support.writer import Sender, writing


@pytest.mark.guarantee("G8")
async def test_an_owner_whose_lease_has_run_out_appends_nothing_until_it_holds_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, slept = Leases.holds, asyncio.Event()

    def holds(leases: Leases, name: str) -> bool:
        return not slept.is_set() and really(leases, name)

    monkeypatch.setattr(Leases, "holds", holds)
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        slept.set()
        before = await log.events.last_sequence("MEMLOG_EVENTS_0")
        command_id = await ada.send(AddMemory(text="decided by a sleeper"))
        with pytest.raises(TimeoutError):
            await ada.outcome(command_id, seconds=1.0)
        assert await log.events.last_sequence("MEMLOG_EVENTS_0") == before
        slept.clear()
        async with asyncio.timeout(60):
            # The stream is asked: nothing tells a test that an event was appended.
            while await log.events.last_sequence("MEMLOG_EVENTS_0") == before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
