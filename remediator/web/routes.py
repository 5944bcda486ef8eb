"""
Every route of the API in one table, with what a caller must be allowed to do.

Handlers are attached by name and only through this table, so a route that is not listed is not served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Permission = Literal["read", "change"]


@dataclass(frozen=True)
class Route:
    method: Literal["GET", "POST"]
    path: str
    permission: Permission
    name: str


PREFIX = "/api/v1"
ROUTES = (
    Route("GET", PREFIX + "/runs", "read", "list_runs"),
    Route("GET", PREFIX + "/runs/{id}", "read", "show_run"),
    Route("POST", PREFIX + "/runs/{id}/cancel", "change", "cancel"),
    Route("POST", PREFIX + "/runs/{id}/approve", "change", "approve"),
    Route("POST", PREFIX + "/runs/{id}/deny", "change", "deny"),
    Route("GET", PREFIX + "/rules", "read", "list_rules"),
    Route("GET", PREFIX + "/switches", "read", "list_switches"),
    Route("GET", PREFIX + "/audit", "read", "list_audit"),
    Route("POST", PREFIX + "/freeze", "change", "freeze"),
    Route("POST", PREFIX + "/unfreeze", "change", "unfreeze"),
    Route("POST", PREFIX + "/rules/{name}/arm", "change", "arm"),
    Route("POST", PREFIX + "/rules/{name}/disarm", "change", "disarm"),
)
