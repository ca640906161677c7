"""The categories that a user's memories may get: those that Memlog brings along, and the user's own."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import structlog
from contracts.categories import category_key
from contracts.codec import DataKey, Recorded, Undecodable
from contracts.errors import ContentDamaged, Unavailable
from contracts.events import CategoryDefined, CategoryRemoved
from contracts.streams import events as events_stream
from contracts.subjects import category, event_subject, shard_of
from runtime.event_store import EventStore, recorded

from categorizer.decision import MARGIN, NEAR, NEAR_OWN, Candidate, own_phrases, seed_phrases
from categorizer.embedding import Embedding

log = structlog.get_logger()
_CACHED_USERS = 256


@cache
def classifier_id(embedder: str) -> str:
    """Which classifier chose: how, with which embedder, by which phrases and thresholds."""
    data = json.dumps([seed_phrases(), NEAR, MARGIN, NEAR_OWN]).encode()
    return f"zero-shot/{embedder}/{hashlib.sha256(data).hexdigest()[:12]}"


@dataclass(slots=True)
class _Own:
    """A user's categories; `embedded`: as candidates, in vectors of the embedder that is named."""

    described: list[CategoryDefined]
    embedded: tuple[str, tuple[Candidate, ...]] | None = None


class Categories:
    """Candidates of each user, with vectors; what was described is embedded once."""

    def __init__(self, events: EventStore, embedding: Embedding) -> None:
        self._events = events
        self._embedding = embedding
        self._seeds: tuple[str, tuple[Candidate, ...]] | None = None
        self._own: OrderedDict[str, _Own] = OrderedDict()

    async def of(self, uid: str, key: DataKey, embedder: str) -> tuple[Candidate, ...]:
        """The user's candidates, in vectors of this embedder. Raises `Unavailable`."""
        own = await self._own_of(uid, key, embedder)
        described = {category_key(candidate.name) for candidate in own}
        seeds = await self.seeds(embedder)
        # A category that the user described anew is the user's.
        return (*own, *(seed for seed in seeds if category_key(seed.name) not in described)) if own else seeds

    async def seeds(self, embedder: str | None = None) -> tuple[Candidate, ...]:
        """Those that Memlog brings along; `embedder` None: in vectors of whichever there is. Raises `Unavailable`."""
        if self._seeds is None or embedder not in (None, self._seeds[0]):
            phrases = seed_phrases()
            self._seeds = await self._embed([(name, False, said) for name, said in phrases.items()], embedder)
        return self._seeds[1]

    def forget(self, uid: str) -> None:
        """The user's categories have changed."""
        self._own.pop(uid, None)

    async def described(self, uid: str, key: DataKey) -> Sequence[CategoryDefined]:
        """The user's own categories. Raises `Unavailable`."""
        return (await self._of_user(uid, key)).described

    async def _own_of(self, uid: str, key: DataKey, embedder: str) -> tuple[Candidate, ...]:
        own = await self._of_user(uid, key)
        if own.embedded is None or own.embedded[0] != embedder:
            wanted = [(event.name, True, own_phrases(event.name, event.description)) for event in own.described]
            own.embedded = await self._embed(wanted, embedder) if wanted else (embedder, ())
        return own.embedded[1]

    async def _of_user(self, uid: str, key: DataKey) -> "_Own":
        own = self._own.get(uid)
        if own is None:
            own = self._own[uid] = _Own(fold(await self._history(uid, key)))
            if len(self._own) > _CACHED_USERS:
                self._own.popitem(last=False)
        else:
            self._own.move_to_end(uid)
        return own

    async def _history(self, uid: str, key: DataKey) -> list[Recorded]:
        shard = shard_of(uid, self._events.shards)
        subject = event_subject(shard, category(uid, "any")).removesuffix("any") + "*"
        stored = await self._events.read_subject(events_stream(shard).name, subject)
        found: list[Recorded] = []
        for message in stored:
            try:
                found.append(recorded(shard, message, key))
            except (Undecodable, ContentDamaged) as error:  # one category less, but no text is lost for it
                log.warning("category_unreadable", shard=shard, sequence=message.sequence, error=error.message)
        return found

    async def _embed(
        self, wanted: list[tuple[str, bool, tuple[str, ...]]], embedder: str | None
    ) -> tuple[str, tuple[Candidate, ...]]:
        embedded = await self._embedding.embed([phrase for _, _, phrases in wanted for phrase in phrases])
        if embedder not in (None, embedded.embedder):
            raise Unavailable("the indexer changes its embedder")
        found: list[Candidate] = []
        at = 0
        for name, own, phrases in wanted:
            found.append(Candidate.of(name, own, embedded.vectors[at : at + len(phrases)]))
            at += len(phrases)
        return embedded.embedder, tuple(found)


def fold(history: Iterable[Recorded]) -> list[CategoryDefined]:
    """The categories that the user has, as last described."""
    described: dict[str, CategoryDefined] = {}
    for event in history:
        match event.payload:
            case CategoryDefined() as defined:
                described[defined.category_id] = defined
            case CategoryRemoved(category_id=category_id):
                described.pop(category_id, None)
            case _:
                pass
    return [*described.values()]
