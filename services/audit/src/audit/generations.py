"""Which read models there are, and in which version. There are no migrations: another version is filled anew."""

from dataclasses import dataclass
from hashlib import sha256

from contracts import streams

from audit.projections import (
    access_log,
    access_rules,
    app_reads,
    apps,
    archive_policies,
    categories,
    history,
    memories,
    memory_texts,
    operations,
    reads,
    tokens,
    trail,
    users,
)
from audit.statement import Projection

READ_MODELS_VERSION = 3
ACCESS_LOG_VERSION = 3
"""Raise one when anything of its projections changes, DDL or what an event leads to: it is rebuilt from the log."""


@dataclass(frozen=True, slots=True)
class Generation:
    """All read models that one projection feeds (a name of `contracts.streams`), as they are made and filled once.
    `version` is that of the code; the same version may be filled again, under the next `number`."""

    projection: str
    version: int
    read_models: tuple[Projection, ...]
    number: int = 1

    @property
    def schema(self) -> str:
        """The PostgreSQL schema that holds it, such as `read_models_g1`."""
        return f"{self.projection.replace('-', '_')}_g{self.number}"

    @property
    def fingerprint(self) -> str:
        """Changes with the DDL (SHA-256, hex): tables that were made by other DDL cannot be fed by this code."""
        statements = (statement for model in self.read_models for statement in model.ddl)
        return sha256("\x00".join(statements).encode()).hexdigest()

    @property
    def tables(self) -> list[str]:
        return [model.name for model in self.read_models]


def read_models(number: int = 1) -> Generation:
    """What is derived from the events: over `MEMLOG_EVENTS_<k>`."""
    rules = (access_rules, categories, archive_policies, tokens)
    modules = (memories, memory_texts, history, users, apps, *rules, operations)
    models = (*(module.PROJECTION for module in modules), access_rules.DEFAULT, trail.EVENTS)
    return Generation(streams.READ_MODELS, READ_MODELS_VERSION, models, number)


def access_models(number: int = 1) -> Generation:
    """What is derived from the reads: over `MEMLOG_ACCESS_<k>`. Generations of its own, so that a new version
    of the memories does not replay every read that ever was."""
    models = (*(module.PROJECTION for module in (access_log, app_reads, reads)), trail.ACCESS)
    return Generation(streams.ACCESS_LOG, ACCESS_LOG_VERSION, models, number)
