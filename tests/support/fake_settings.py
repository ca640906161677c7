"""The fake service's settings and archive policies: the same for everybody, and what was asked of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.archiving import ArchiveAfter, ArchivePolicy, ArchivePolicyList, ArchivePreview
from contracts.configuration import Configuration, Configured
from gateway.service import Caller


@dataclass
class FakeSettings:
    """`changes` are those that were asked for, with whether they were to be merged."""

    configured: Configured = field(default_factory=lambda: Configured(Configuration(), ("mem0.vector_store",)))
    changes: list[tuple[Mapping[str, Any], bool]] = field(default_factory=list[tuple[Mapping[str, Any], bool]])
    policies: dict[str, ArchivePolicy] = field(default_factory=dict[str, ArchivePolicy])

    async def configuration(self, caller: Caller) -> Configured:
        return self.configured

    async def change_configuration(
        self, caller: Caller, change: Mapping[str, Any], *, merge: bool, confirmed: bool
    ) -> Configured:
        self.changes.append((change, merge))
        return self.configured

    async def reset_configuration(self, caller: Caller, *, confirmed: bool) -> Configured:
        self.changes.append(({}, False))
        return self.configured

    async def archive_policies(self, caller: Caller) -> ArchivePolicyList:
        return ArchivePolicyList(archive_policies=[*self.policies.values()], total=len(self.policies))

    async def preview_archive_policy(self, caller: Caller, after: ArchiveAfter) -> ArchivePreview:
        return ArchivePreview(due=0)

    async def set_archive_policy(self, caller: Caller, after: ArchiveAfter, policy_id: str | None) -> ArchivePolicy:
        id_ = policy_id or f"00000000-0000-7000-8000-{len(self.policies):012}"
        self.policies[id_] = ArchivePolicy(
            id=id_, after_days=after.after_days, app_id=after.app_id, category=after.category, created_at=0,
            updated_at=0, due=0,
        )  # fmt: skip
        return self.policies[id_]

    async def remove_archive_policy(self, caller: Caller, policy_id: str) -> None:
        self.policies.pop(policy_id, None)
