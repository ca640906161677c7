"""Writes the golden file of each event type and version that has none: `python tests/contracts/golden/make_golden.py`.

A golden file is never edited: it is a message as some Memlog stored it, and must decode for ever.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from contracts.codec import Meta, encode
from contracts.events import (
    EVENTS,
    AccessRuleRemoved,
    AccessRuleSet,
    AppPaused,
    AppRegistered,
    AppResumed,
    ArchivePolicyRemoved,
    ArchivePolicySet,
    CategoryDefined,
    CategoryRemoved,
    CommandSettled,
    DefaultAccessChanged,
    ItemResult,
    LogStarted,
    MemoriesRead,
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
    ProcessedItem,
    ReadItem,
    ReprocessingRequested,
    SettingsChanged,
    TextProcessed,
    TextReceived,
    TokenIssued,
    TokenRevoked,
    UserRegistered,
)
from contracts.messages import Event
from runtime.keys import SealingKey

FOLDER = Path(__file__).parent
KEY = SealingKey(bytes.fromhex("6d656d6c6f672d676f6c64656e2d6b6579212121212121212121212121212121"))
APP = "5f0c5a52-43a9-8d4e-9a63-1c7b1b6f0d10"
MEMORY = "0c9fb1c4-70d5-8f0a-b1b6-f7f3a1a6a001"
META = Meta(
    id="9b2f2a3e-5d0c-5f3e-8a44-0d5f6b7c8d9e",
    uid="0123456789abcdef0123456789abcdef",
    app=APP,
    actor="mcp",
    occurred_at=datetime(2026, 11, 22, 9, 15, 0, 250000, tzinfo=UTC),
    correlation_id="018f3a5c-1111-7000-8000-000000000001",
    causation_id="018f3a5c-2222-7000-8000-000000000002",
    final=True,
)
SOURCE = "018f3a5c-3333-7000-8000-000000000003"
RULE = "7d0c6a52-43a9-8d4e-9a63-1c7b1b6f0d11"
POLICY = "018f3a5c-4444-7000-8000-000000000004"
TOKEN = "018f3a5c555570008000000000000005"
EXAMPLES: tuple[Event, ...] = (
    AccessRuleSet(rule_id=RULE, app_id=APP, effect="deny", category="Health"),
    AccessRuleRemoved(rule_id=RULE),
    DefaultAccessChanged(policy="own"),
    SettingsChanged(settings={"openmemory": {"custom_instructions": "Keep names as they are."}}),
    ArchivePolicySet(policy_id=POLICY, after_days=365, app_id=APP),
    ArchivePolicyRemoved(policy_id=POLICY),
    TokenIssued(
        token_id=TOKEN,
        hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        user="Ada Lovelace",
        app="claude-desktop",
        scopes=("read", "write"),
        label="Laptop in Zürich",
        expires_at=datetime(2027, 2, 20, 9, 15, 0, 250000, tzinfo=UTC),
    ),
    TokenRevoked(token_id=TOKEN),
    TextReceived(source_id=SOURCE, text="I moved to Zürich.", metadata={"chat": 7}, categories=("personal",)),
    ReprocessingRequested(source_id=SOURCE),
    TextProcessed(
        source_id=SOURCE,
        outcome="extracted",
        items=(ProcessedItem(id=MEMORY, event="UPDATE", text="Lives in Zürich", previous_text="Lives in Bern"),),
        model="gpt-4o-mini",
    ),
    LogStarted(incarnation="00112233445566778899aabbccddeeff", shard=2, shards=8),
    UserRegistered(name="Ada Lovelace"),
    AppRegistered(app_id=APP, name="claude-desktop"),
    AppPaused(app_id=APP),
    AppResumed(app_id=APP),
    MemoryAdded(
        memory_id=MEMORY,
        text="Flight to Zürich leaves at 9:15 ✈",
        metadata={"source": "chat", "n": [1, 2.5, None, {"deep": True}]},
        categories=("travel",),
        state="paused",
        changed_at=datetime(2026, 11, 22, 10, 0, 0, 500000, tzinfo=UTC),
    ),
    MemoryRevised(
        memory_id=MEMORY,
        version=2,
        text="Flight to Zürich leaves at 9:45",
        metadata={"source": "import"},
        state="archived",
    ),
    MemoryCategorized(memory_id=MEMORY, categories=("travel", "Familie & Freunde ✈"), by="model", model="gpt-4o-mini"),
    MemoryPaused(memory_id=MEMORY),
    MemoryResumed(memory_id=MEMORY),
    MemoryArchived(memory_id=MEMORY),
    MemoryUnarchived(memory_id=MEMORY),
    MemoryCategorized(memory_id=MEMORY, categories=("travel", "Zürich"), by="model", model="gpt-5-mini"),
    MemoryPaused(memory_id=MEMORY),
    MemoryResumed(memory_id=MEMORY),
    MemoryArchived(memory_id=MEMORY),
    MemoryUnarchived(memory_id=MEMORY),
    MemoryDeleted(memory_id=MEMORY),
    MemoryRestored(memory_id=MEMORY),
    CategoryDefined(category_id=APP, name="Travel", description="Trips, flights and trains"),
    CategoryRemoved(category_id=APP),
    MemoryRestored(memory_id=MEMORY),
    CategoryDefined(category_id=APP, name="Segelfliegen", description="Flüge ohne Motor, Wetter und Vereine"),
    CategoryRemoved(category_id=APP),
    CommandSettled(
        command_type="DeleteMemories",
        outcome="refused",
        code="not_found",
        reason="nothing was deleted",
        results=(ItemResult(id=MEMORY, event="NONE"),),
    ),
    MemoriesRead(kind="search", items=(ReadItem(id=MEMORY, rank=1, score=0.75), ReadItem(id=APP, rank=2)), query="zug"),
)


def golden_file(kind: type[Event]) -> Path:
    return FOLDER / f"{kind.type}.v{kind.schema_version}.json"


def main() -> None:
    for example in EXAMPLES:
        file = golden_file(EVENTS[example.type])
        if not file.exists():
            message = json.loads(encode(META, example, KEY))
            golden = {"message": message, "expected": example.model_dump(mode="json")}
            file.write_text(json.dumps(golden, indent=2, ensure_ascii=False) + "\n")
            sys.stdout.write(f"{file.name}\n")


if __name__ == "__main__":
    main()
