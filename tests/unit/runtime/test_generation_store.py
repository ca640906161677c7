"""What a shard's owner feeds: the serving generation first, and it goes on whatever becomes of the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict, Conflict, Unavailable
from contracts.events import AppPaused
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate
from runtime.building import Pace
from runtime.generations import GenerationStore
from support.recorded_events import recorded

EVENTS = [recorded(number, AppPaused(app_id="a")) for number in (1, 2, 3)]


@dataclass
class Store:
    """Keeps what it applied, and under which epoch; `failures` are raised first."""

    applied: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    failures: list[Exception] = field(default_factory=list[Exception])

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        return None

    async def claim(self, shard: int, epoch: int) -> None:
        return None

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.applied += [(event.position.sequence, epoch) for event in batch]

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        await self.apply(history, epoch)


@dataclass
class Owner:
    """Feeds 1, which serves, and 2, which follows. `lost` is what the register was told."""

    one: Store = field(default_factory=Store)
    two: Store = field(default_factory=Store)
    lost: dict[int, str] = field(default_factory=dict[int, str])
    two_serves: bool = False
    store: GenerationStore = field(init=False)

    def __post_init__(self) -> None:
        async def lost(number: int, reason: str) -> None:
            if self.two_serves:
                raise Conflict("generation 2 serves")
            self.lost[number] = reason

        self.store = GenerationStore(lost)
        self.store.serve(1, self.one)
        self.store.follow(2, self.two, 7)


async def test_each_batch_goes_to_both_under_the_epoch_that_both_were_claimed_under() -> None:
    owner = Owner()
    await owner.store.apply(EVENTS[:2], 5)
    await owner.store.refold(Aggregate("u", "app", "a"), EVENTS[2:], 5)
    assert owner.one.applied == owner.two.applied == [(1, 7), (2, 7), (3, 7)]
    await owner.store.apply(EVENTS[2:], 9)  # of a later lease
    assert owner.one.applied[-1] == (3, 9)


async def test_what_serves_is_fed_first_and_alone_when_it_refuses() -> None:
    owner = Owner(one=Store(failures=[ValueError("poison")]))
    with pytest.raises(ValueError, match="poison"):
        await owner.store.apply(EVENTS, 1)
    assert owner.two.applied == []


async def test_a_generation_that_refuses_an_event_is_noted_as_lost_and_what_serves_goes_on() -> None:
    owner = Owner(two=Store(failures=[ValueError("refused")]))
    await owner.store.apply(EVENTS[:1], 1)
    assert (owner.lost, owner.store.following) == ({2: "ValueError: refused"}, frozenset())
    await owner.store.apply(EVENTS[1:], 1)
    assert len(owner.one.applied) == 3


async def test_what_may_heal_makes_the_owner_start_over_a_few_times_before_the_generation_is_lost() -> None:
    owner = Owner(two=Store(failures=[Unavailable("away")] * 3))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await owner.store.apply(EVENTS, 1)
        assert owner.lost == {}
    await owner.store.apply(EVENTS, 1)
    assert owner.lost == {2: "Unavailable: away"}


async def test_failures_that_healed_do_not_count() -> None:
    owner = Owner(two=Store(failures=[Unavailable("away")] * 2))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await owner.store.apply(EVENTS, 1)
    await owner.store.apply(EVENTS, 1)
    owner.two.failures = [Unavailable("away")] * 2
    with pytest.raises(Unavailable):
        await owner.store.apply(EVENTS, 1)
    assert owner.lost == {}


async def test_an_owner_whose_generation_was_taken_by_another_stops() -> None:
    owner = Owner(two=Store(failures=[ConcurrencyConflict("a newer owner")]))
    with pytest.raises(ConcurrencyConflict):
        await owner.store.apply(EVENTS, 1)
    assert owner.lost == {}


async def test_one_that_serves_meanwhile_is_never_left_behind_in_silence() -> None:
    """The switch came before the owner heard of it: nothing may be announced that readers do not see."""
    owner = Owner(two=Store(failures=[ValueError("refused")]), two_serves=True)
    with pytest.raises(Conflict, match="serves"):
        await owner.store.apply(EVENTS, 1)


async def test_after_a_switch_only_the_new_one_is_fed() -> None:
    owner = Owner()
    owner.store.promote(2)
    owner.store.promote(2)
    await owner.store.apply(EVENTS, 1)
    assert (owner.store.number, owner.one.applied, len(owner.two.applied)) == (2, [], 3)
    with pytest.raises(Conflict, match="does not follow"):
        owner.store.promote(3)


def test_the_time_left_follows_from_the_pace_of_the_last_seconds() -> None:
    pace = Pace(4)
    assert pace.progress() is None
    pace.note(0, 1000, 0.0)
    at_first = pace.progress()
    assert at_first is not None
    assert (at_first.rate, at_first.seconds_left) == (0.0, None)
    for second in range(1, 41):
        pace.note(100 if second < 20 else 100 + 10 * (second - 20), 1000, float(second))
    at = pace.progress()
    assert at is not None
    assert (at.number, at.events, at.of, at.rate, at.seconds_left) == (4, 300, 1000, 10.0, 70.0)
    pace.note(1000, 1000, 41.0)
    at_the_end = pace.progress()
    assert at_the_end is not None
    assert at_the_end.seconds_left == 0.0
