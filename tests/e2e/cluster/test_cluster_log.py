"""The log on a NATS cluster with three replicas of each stream: what is read, and what a publish is told."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from contracts.errors import ConcurrencyConflict, LogNotTrusted, Unavailable
from contracts.ids import uuid7
from contracts.positions import Position
from contracts.streams import KEYS, commands, events
from contracts.subjects import command_subject, key_subject, memory
from runtime.keys import KeyStore, MasterKey
from runtime.log_checks import open_log
from runtime.nats import declare_all, require_sync_always
from runtime.publishing import publish_first
from runtime.server_health import ServerHealth
from runtime.settings import Settings
from support.cluster import Cluster, running_cluster
from support.keys import KEY
from support.log_events import UID, new_event
from support.servers import Log, empty, opened
from support.stack import eventually


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Cluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def settings(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    master_key = tmp_path_factory.mktemp("keys") / "master.key"
    MasterKey.create(master_key)
    return Settings(nats_url=cluster.url, nats_monitor_url=cluster.monitor_url, master_key_file=master_key, replicas=3)


@pytest.fixture(scope="module")
async def log(settings: Settings) -> AsyncGenerator[Log]:
    async with opened(settings) as log:
        yield log


@pytest.mark.guarantee("G2")
async def test_of_many_first_messages_at_once_exactly_one_is_the_first(log: Log) -> None:
    for _ in range(10):
        subject = command_subject(0, UID, uuid7())
        told = Counter(await asyncio.gather(*(publish_first(log.js, subject, b"{}") for _ in range(20))))
        assert told == {True: 1, False: 19}
        found = await log.events.read_subject(commands(0).name, subject)
        assert len(found) == 1


@pytest.mark.guarantee("G4")
async def test_what_was_acknowledged_is_read_at_once_whichever_replica_answers(settings: Settings, log: Log) -> None:
    async def read(reader: Log, position: Position, id_: str) -> None:
        [event] = await reader.events.load(memory(UID, id_), KEY)
        assert event.position == position

    async def read_in_order(reader: Log, position: Position) -> None:
        page, more = await reader.events.read_page(events(0).name, ">", position.sequence, 10)
        assert [message.sequence for message in page] == [position.sequence] and more == 0

    async def read_at(reader: Log, position: Position) -> None:
        assert await reader.events.message_at(events(0).name, position.sequence) is not None

    async with AsyncExitStack() as stack:
        readers: list[Log] = []
        for url in settings.nats_url.split(","):  # a server answers its own clients first
            alone = settings.model_copy(update={"nats_url": url})
            readers.append(await stack.enter_async_context(opened(alone, start=False)))
        for _ in range(200):
            id_ = str(uuid.uuid4())
            [position] = await log.events.append([new_event(memory(UID, id_))])
            assert isinstance(position, Position)
            reads = [(read(r, position, id_), read_in_order(r, position), read_at(r, position)) for r in readers]
            await asyncio.gather(*(each for three in reads for each in three))


@pytest.mark.guarantee("G10")
async def test_a_key_is_there_for_everybody_once_it_is_made(settings: Settings, log: Log) -> None:
    master = log.keys.master
    async with opened(settings, start=False) as elsewhere:
        for number in range(100):
            uid = f"{number:032x}"
            await log.keys.create(uid)
            assert await KeyStore(elsewhere.js, master).get(uid)
        assert (await elsewhere.js.stream_info(KEYS.name)).state.messages >= 100
    assert len(await log.events.read_subject(KEYS.name, key_subject("*"))) >= 100


@pytest.mark.guarantee("G3")
async def test_an_event_that_is_appended_twice_stands_there_once_and_another_is_a_conflict(log: Log) -> None:
    first = new_event(memory(UID, str(uuid.uuid4())))
    results = await log.events.append([first])
    assert await log.events.append([first]) == results, "an answer that was lost is found out"
    [conflict] = await log.events.append([new_event(first.aggregate)])
    assert isinstance(conflict, ConcurrencyConflict)
    # At the same moment, whether the first one will stand is not known yet: ask again.
    both = new_event(memory(UID, str(uuid.uuid4())))
    told = await log.events.append([both, both])
    assert isinstance(told[0], Position)
    assert isinstance(told[1], Position | Unavailable)
    assert await log.events.append([both]) == told[:1]
    assert len(await log.events.load(both.aggregate, KEY)) == 1


async def test_services_that_start_a_new_log_at_once_agree_on_it(settings: Settings, log: Log) -> None:
    async with opened(settings, start=False) as elsewhere:
        for _ in range(3):
            await empty(log.js)
            await declare_all(log.js, settings, 1)
            both = [open_log(each.js, each.events, 1) for each in (log, elsewhere) for _ in range(3)]
            first, *others = await asyncio.gather(*both)
            assert others == [first] * 5
            assert await log.events.last_sequence(events(0).name) == 1


@pytest.mark.guarantee("G1")
async def test_one_server_that_is_away_is_no_reason_to_refuse_and_two_are(cluster: Cluster, settings: Settings) -> None:
    await require_sync_always(settings)
    urls = cluster.monitor_url.split(",")
    nobody = "http://127.0.0.1:9"
    await require_sync_always(settings.model_copy(update={"nats_monitor_url": ",".join([*urls[:2], nobody])}))
    few = settings.model_copy(update={"nats_monitor_url": ",".join([urls[0], nobody, nobody])})
    with pytest.raises(LogNotTrusted, match="do not say"):
        await require_sync_always(few)
    assert await ServerHealth(cluster.monitor_url).failure() is None


async def test_it_is_written_on_while_one_server_is_away(cluster: Cluster, log: Log) -> None:
    node = await cluster.leader(events(0).name)
    await cluster.kill(node)

    async def appended() -> bool:
        return isinstance((await log.events.append([new_event(memory(UID, str(uuid.uuid4())))]))[0], Position)

    try:
        await eventually(appended, timeout=60.0)
    finally:
        await cluster.start(node)
        await eventually(cluster.healthy, timeout=60.0)
