"""
Health and metrics, for the operations port alone.

In: two questions the application answers. Out: 200 while the process lives, 200 or 503 with the reason for being
ready, and the metrics. No credential is asked here, so nothing of a run or an alert is ever shown.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler


def operations_routes(not_ready: Callable[[], str], metrics: Handler) -> list[web.RouteDef]:
    """`not_ready` answers why not, or an empty text; `metrics` is the whole handler of its path."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        reason = not_ready()
        return web.json_response({"ready": not reason, "reason": reason}, status=503 if reason else 200)

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]
