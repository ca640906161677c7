"""Changes of a read model as data: what a projection yields and what the store carries out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from contracts.codec import Recorded
from pydantic import JsonValue

Value: TypeAlias = JsonValue | datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """One row's change of one table.

    `sql` works on a *set* of rows: it reads them with `json_to_recordset($1::text::json)` and names its table
    `{table}`, so that one round trip carries the changes of many events. `row` is this change's row of that set,
    `key` the row of the table that it changes: changes of one key keep their order, those of different keys may
    be carried out in any order, and together. It touches no other table.
    """

    table: str
    key: tuple[str, ...]
    sql: str
    row: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Projection:
    """A read model: its table, how the table is made, and what each event changes in it.

    `ddl` are statements with `{table}` for the qualified table and `{name}` for its bare name (for indexes). The first
    makes the table with its key; the others are each one CREATE INDEX, made after a generation was filled.
    `apply` is pure, and yields nothing for events that are none of its business.
    """

    name: str
    ddl: tuple[str, ...]
    apply: Callable[[Recorded], Iterable[Statement]]
    identity: Mapping[str, str] = field(default_factory=dict[str, str])
    """Kind of aggregate → the column with its id, for rows that are that aggregate's alone: they are replaced when it
    is folded anew. Rows of others only gain what is missing."""
    of_recording: Sequence[str] = ()
    """Columns that belong to one recording of the events (sequences, times of recording, hashes of messages), and
    differ when the same events are recorded anew: left out of the hash of a state."""
