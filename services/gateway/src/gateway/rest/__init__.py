"""REST: one router per domain."""

from gateway.rest import apps, health, memories, operations, search, stats

ROUTERS = (memories.routes, search.routes, apps.routes, stats.routes, operations.routes, health.routes, health.probes)
"""In the order of the documentation."""
