"""Which read models there are, and in which version. There are no migrations: another version is another schema."""

from dataclasses import dataclass
from hashlib import sha256

from contracts import streams

from audit.projections import access_log, apps, categories, history, memories, memory_texts, operations, reads, users
from audit.statement import Projection

READ_MODELS_VERSION = 1
ACCESS_LOG_VERSION = 1
"""Raise one when anything of its projections changes, DDL or what an event leads to: it is rebuilt beside."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One version of all read models that one projection feeds (a name of `contracts.streams`)."""

    projection: str
    version: int
    read_models: tuple[Projection, ...]

    @property
    def schema(self) -> str:
        """The PostgreSQL schema that holds it, such as `read_models_v1`."""
        return f"{self.projection.replace('-', '_')}_v{self.version}"

    @property
    def fingerprint(self) -> str:
        """Changes with the DDL (SHA-256, hex): shows tables that were changed without another version."""
        statements = (statement for model in self.read_models for statement in model.ddl)
        return sha256("\x00".join(statements).encode()).hexdigest()


def read_models(version: int = READ_MODELS_VERSION) -> Generation:
    """What is derived from the events: over `MEMLOG_EVENTS_<k>`."""
    modules = (memories, memory_texts, history, users, apps, categories, operations)
    return Generation(streams.READ_MODELS, version, tuple(module.PROJECTION for module in modules))


def access_models(version: int = ACCESS_LOG_VERSION) -> Generation:
    """What is derived from the reads: over `MEMLOG_ACCESS_<k>`. A generation of its own, so that a new version
    of the memories does not replay every read that ever was."""
    modules = (access_log, reads)
    return Generation(streams.ACCESS_LOG, version, tuple(module.PROJECTION for module in modules))
