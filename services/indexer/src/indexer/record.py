"""A generation of the index, as the register of the store keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from contracts.generations import GenerationState
from runtime.generations import Generation

from indexer.embedding.choosing import EmbedderChoice

INDEX_VERSION = 4
"""Of what an event leads to in the index, and of what its points hold (`indexer.projection`, `indexer.points`): raised
when that changes, so that what is there is rebuilt. 2: pieces carry a hash of their text. 3: texts that were
replaced stay. 4: memories are called by their user, too."""
HAS_PAST = 4
"""From which version on searches of the past are answered in full."""


@dataclass(frozen=True, slots=True)
class Record:
    """`embedder` and `dimension` are of the vectors in it, `choice` is what opens that embedder. `requested`: a person
    named the embedder. `kept`: it was switched to while the settings named none, so the choice holds until another."""

    number: int
    state: GenerationState
    version: int
    choice: EmbedderChoice
    embedder: str
    dimension: int
    started_at: datetime
    switched_at: datetime | None = None
    parity: str | None = None
    difference: str | None = None
    failure: str | None = None
    hold: bool = False
    requested: bool = False
    kept: bool = False

    def described(self) -> Generation:
        """In the terms that all derived stores share."""
        return Generation(
            number=self.number,
            state=self.state,
            version=self.version,
            started_at=self.started_at,
            embedder=self.embedder,
            switched_at=self.switched_at,
            parity=self.parity,
            difference=self.difference,
            failure=self.failure,
            hold=self.hold,
        )

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads: plain JSON values."""
        values = asdict(self)
        for name in ("started_at", "switched_at"):
            values[name] = values[name] and values[name].isoformat()
        return values

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Record":
        """Raises `KeyError`, `TypeError` or `ValueError` for something else. Fields that are not known are left out."""
        values = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        values["choice"] = EmbedderChoice(**stored["choice"])
        for name in ("started_at", "switched_at"):
            values[name] = values.get(name) and datetime.fromisoformat(values[name])
        return cls(**values)
