"""REST: one router per domain."""

from gateway.rest import (
    access_rules,
    apps,
    archive_policies,
    backup,
    categories,
    config,
    dead_letters,
    events,
    filtering,
    health,
    memories,
    metrics,
    operations,
    projections,
    search,
    sources,
    states,
    stats,
    tokens,
    verification,
)

ROUTERS = (
    categories.routes,  # before memories: `categories` is no memory's id
    memories.routes,
    filtering.routes,
    states.routes,
    search.routes,
    apps.routes,
    access_rules.routes,
    tokens.routes,
    stats.routes,
    backup.routes,
    config.routes,
    archive_policies.routes,
    operations.routes,
    sources.routes,
    events.routes,
    dead_letters.routes,
    projections.routes,
    verification.routes,
    health.routes,
    health.probes,
    metrics.routes,
)
"""In the order of the documentation."""
