"""
The least that a Python webhook can do: read the body, parse it, count its alerts, say 202.

In: a port. Out: a server until it is told to stop. It checks, decides and stores nothing, so it is what the service is
measured against.
"""

from __future__ import annotations

import json
import sys

from aiohttp import web

from tests.benchmarks.sender import PATH


async def receive(request: web.Request) -> web.Response:
    told = json.loads(await request.read())
    return web.json_response({"received": len(told["alerts"])}, status=202)


if __name__ == "__main__":
    app = web.Application(client_max_size=1 << 26)
    app.add_routes([web.post(PATH, receive)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
