"""REST: one router per domain."""

from gateway.rest import apps, dead_letters, events, health, memories, operations, search, stats

ROUTERS = (
    memories.routes,
    search.routes,
    apps.routes,
    stats.routes,
    operations.routes,
    events.routes,
    dead_letters.routes,
    health.routes,
    health.probes,
)
"""In the order of the documentation."""
