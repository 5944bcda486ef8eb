"""
Serve simulated etcd servers over HTTP, each at its own pod's address.

In: servers that come and go. Out: a listening socket for each, closed with it. A request on a connection that outlived
its server is cut off, as by a pod that has gone.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from remediator.practice.addresses import PORT
from remediator.practice.etcd_gateway import answer
from remediator.practice.etcd_pods import SimulatedEtcd


class EtcdDoors:
    def __init__(self, servers: Mapping[str, SimulatedEtcd]) -> None:
        self._servers = servers
        self._sites: dict[str, web.TCPSite] = {}
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)

    async def setup(self) -> None:
        await self._runner.setup()

    async def open(self, etcd: SimulatedEtcd) -> None:
        address = etcd.launch.address
        site = web.TCPSite(self._runner, address, PORT)
        await site.start()
        self._sites[address] = site

    async def shut(self, address: str) -> None:
        site = self._sites.pop(address, None)
        if site is not None:
            await site.stop()

    async def close(self) -> None:
        self._sites.clear()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        address = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        etcd = self._servers.get(address)
        if etcd is None:
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPServiceUnavailable
        status, headers, body = await answer(etcd, request.method, request.path_qs, await request.read())
        return web.Response(status=status, headers=headers, body=body)
