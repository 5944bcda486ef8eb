"""
Freeze by a ConfigMap: `data.frozen: "true"` stops every write of every replica; `data.why` is the reason.

In: the cluster's view, which reads from a quorum. Out: what the API server says just now, within a short deadline.
A ConfigMap that is not there asks for nothing; one that cannot be read leaves it open. It never writes one.
"""

from __future__ import annotations

import asyncio

from remediator.brakes.words import one_line
from remediator.model.brakes import BrakeState, Engaged, Released, Unreadable
from remediator.model.errors import NotFound, RemoteError
from remediator.model.objects import Manifest, ObjectRef
from remediator.model.seams import ClusterView

LOOK_SECONDS = 1.0
"""Half of what a permit lasts, so that a slow answer leaves time for the write it allows."""
NOT = frozenset({"", "false"})


class ConfigMapBrake:
    every = 5.0
    """Seconds between two looks when nobody is about to write: one small request."""

    def __init__(self, view: ClusterView, ref: ObjectRef) -> None:
        self._view, self._ref = view, ref
        self.name = f"configmap {ref.namespace}/{ref.name}"

    async def look(self) -> BrakeState:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                live = await self._view.get(self._ref)
        except NotFound:
            return Released(self.name)
        except RemoteError as error:
            return Unreadable(self.name, str(error))
        except TimeoutError:
            return Unreadable(self.name, f"no answer within {LOOK_SECONDS:g} s")
        return self._judge(live)

    def _judge(self, live: Manifest) -> BrakeState:
        """As with the pause annotation, any value but an empty one and `false` freezes: it was meant to."""
        data = live.get("data") or {}
        if str(data.get("frozen", "")).strip().lower() in NOT:
            return Released(self.name)
        return Engaged(self.name, one_line(str(data.get("why", ""))), f'set data.frozen of {self._ref} to "false"')
