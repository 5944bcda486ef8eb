"""
The application on the public port: whatever routes it is given, with the same manners for all.

In: routes. Out: an application whose every answer carries the security headers and none that names the software, and
whose refusals are JSON with a correlation id. It knows no route by name and never redirects.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from remediator.model.seams import Ids

SECURITY_HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
MAX_BODY_BYTES = 64 * 1024
"""Of a body that a handler reads at once; the webhook reads piece by piece with its own bound."""

_WORDS = {404: "there is nothing under this path", 405: "this path does not take this method"}


def public_application(routes: Iterable[web.AbstractRouteDef], ids: Ids) -> web.Application:
    """An application that serves exactly these routes."""

    @web.middleware
    async def refuse_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            said = {"error": _WORDS.get(refusal.status, refusal.reason), "correlation_id": ids("req")}
            allow = {hdrs.ALLOW: refusal.headers[hdrs.ALLOW]} if hdrs.ALLOW in refusal.headers else {}
            return web.json_response(said, status=refusal.status, headers=allow)

    app = web.Application(middlewares=[refuse_in_json], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(_set_headers)
    app.add_routes(routes)
    return app


async def _set_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
    response.headers.popall(hdrs.SERVER, None)
