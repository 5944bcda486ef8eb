"""
The watch cache of an API server: what a read with `resourceVersion` is answered from, some seconds behind.

In: a request. Out: the answer as of the last time the cache was filled. The service never asks it; a planted bug does.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from remediator.practice.addressing import Request
from remediator.practice.objects import Objects
from remediator.practice.routing import Response, Router

if TYPE_CHECKING:
    from tests.simulation.world import World

BEHIND = 7.0
"""Seconds at most."""


class StaleCache:
    def __init__(self, world: World) -> None:
        self._world = world
        self._filled_at = float("-inf")
        self._router: Any = None

    def answer(self, request: Request) -> Response:
        world = self._world
        if world.loop.time() - self._filled_at > BEHIND:
            self._filled_at = world.loop.time()
            self._router = Router(self._as_of_now(), world.cluster.kubelet, world.clock)
        answer: Response = self._router.answer(request)
        return answer

    def _as_of_now(self) -> Any:
        """What is stored is never changed in place, so which objects there are is all that must be copied."""
        api = copy.copy(self._world.cluster.api)
        objects = Objects()
        objects._kept = {kind: dict(kept) for kind, kept in api._objects._kept.items()}
        api._objects = objects
        return api
