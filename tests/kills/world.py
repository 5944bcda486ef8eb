"""
The world of one trial: an API server and the mills' own doors over real HTTP, and the record of all that arrives.

In: requests of whichever life is alive. Out: what a cluster answers, and a history of plain values in the order things
happened here. When a write arrives it first looks into the journal from outside: what is committed at that moment is
part of the record. It kills the life whose order says so, in the middle of a request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from remediator.clocks import SystemClock, new_id
from remediator.model.objects import POD, STATEFUL_SET
from remediator.practice.addressing import Request
from remediator.practice.apiserver import ApiServer
from remediator.practice.routing import Router
from tests.kills.mill import MARK, NAMESPACE

Attempts = Callable[[], Awaitable[Sequence[Any]]]
"""Every attempt of every step in the journal just now: run, number of the step, number of the attempt, state."""
VERB_OF = {"patch statefulsets": "mark", "delete pods": "drop"}
PROBED_BY = {"statefulsets": "mark", "pods": "drop"}
FLOWS_AFTER = 0.05
"""Seconds from when somebody first waits for it until the grain flows: until then all speaks for turning again."""
OUT_OF_ORDER = 0.15
"""Seconds for which the API server is out of order in the scene of trouble."""
LATE = 2.0
"""Seconds at most for which a late write is on its way."""
LOGS: Any = None


class World:
    def __init__(self, scene: str, mills: Sequence[str], port: int, attempts: Attempts) -> None:
        self.scene, self.mills, self._attempts = scene, mills, attempts
        self.history: list[dict[str, Any]] = []
        self.life = 0
        self.at: Callable[[str], None] = lambda place: None
        """Called with each place a request comes by; it may end the life that asked."""
        self.is_late: Callable[[str], bool] = lambda place: False
        self.flows_if: Callable[[], bool] = lambda: True
        clock = SystemClock()
        self.api = ApiServer(clock, new_id)
        self._router = Router(self.api, LOGS, clock)
        self.turns = dict.fromkeys(mills, 0)
        self.life_rested = False
        """In the scene of sickness the grain stops as soon as it has been seen to flow."""
        self._awaited_at: dict[str, float] = {}
        self._began: float | None = None
        self._arrival = asyncio.Event()
        self._furnish(port)

    def note(self, what: str, **told: Any) -> dict[str, Any]:
        entry = {"n": len(self.history), "t": time.time(), "life": self.life, "what": what, **told}
        self.history.append(entry)
        return entry

    # --- what there is -------------------------------------------------------------------------------------

    def _furnish(self, port: int) -> None:
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for mill in self.mills:
            self.api.create(_stateful_set(mill, {MARK: "by hand"} if self.scene in ("marked", "well") else {}))
            self.api.create(_pod(f"jam-{mill}", {"mill": mill, "jams": "no" if self.scene == "well" else "yes"}, 1))
            wheel = self.api.create(_pod(f"wheel-{mill}", {"wheel": mill}, port))
            self.api.update({**wheel, "status": {"podIP": "127.0.0.1"}}, subresource="status")
            if self.scene == "well":
                self.turns[mill], self._awaited_at[mill] = 1, 0.0

    def flows(self, mill: str) -> bool:
        awaited = self._awaited_at.get(mill)
        is_sick = self.scene == "sick" and self.life_rested
        return awaited is not None and time.monotonic() - awaited >= FLOWS_AFTER and self.flows_if() and not is_sick

    def is_well(self, mill: str) -> bool:
        return not self.what_ails(mill)

    def what_ails(self, mill: str) -> str:
        """As it really is; "" where it is well."""
        mark = self.api.get(STATEFUL_SET, NAMESPACE, mill)["metadata"].get("annotations", {})
        jam = self.api.get(POD, NAMESPACE, f"jam-{mill}")["metadata"]["labels"]["jams"]
        ills = {"unmarked": MARK not in mark, "jammed": jam == "yes", "unturned": not self.turns[mill]}
        ills["dry"] = not self.flows(mill)
        return ", ".join(ill for ill, is_so in ills.items() if is_so)

    # --- what arrives --------------------------------------------------------------------------------------

    async def answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        path, body = incoming.path, await incoming.read()
        if path.startswith("/mills/"):
            return await self._door(path, body)
        headers = {"content-type": incoming.headers.get("Content-Type", "")}
        request = Request(incoming.method, path, dict(incoming.query), headers, body)
        if request.method == "GET":
            return self._read(request)
        if request.address.plural == "events":
            return self._event(request)
        return await self._write(request)

    def _read(self, request: Request) -> web.Response:
        at = request.address
        self._began = self._began or time.monotonic()
        is_out = self.scene == "trouble" and time.monotonic() - self._began < OUT_OF_ORDER
        self.note("read", verb=request.verb, plural=at.plural, name=at.name, query=dict(request.query))
        self.at("read.sent")
        if request.verb == "list":  # only a probe asks so
            self.at(f"probe.{PROBED_BY[at.plural]}.sent")
        if is_out:
            return _answered(503, {"kind": "Status", "status": "Failure", "message": "out of order", "code": 503})
        return self._routed(request)

    def _event(self, request: Request) -> web.Response:
        self.at("event.sent")
        answer = self._routed(request)
        self.at("event.applied")
        return answer

    def _routed(self, request: Request) -> web.Response:
        answer = self._router.answer(request)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def _write(self, request: Request) -> web.Response:
        at = request.address
        verb = VERB_OF.get(f"{request.verb} {at.plural}", "strange")
        mill = at.name.removeprefix("jam-")
        entry = await self._arrives(verb, mill, request.body)
        if self.is_late(f"{verb}.late"):
            self.at(f"{verb}.late")
            await self._dawdle(entry)
        self.at(f"{verb}.sent")
        before = self.api.resource_version
        answer = self._routed(request)
        is_applied = answer.status < 300 and self.api.resource_version != before
        self.note("applied", write=entry["n"], verb=verb, mill=mill, code=answer.status, changed=is_applied)
        if verb == "drop" and is_applied:
            self.api.create(_pod(at.name, {"mill": mill, "jams": "no"}, 1))
        self.at(f"{verb}.applied")
        return answer

    async def _arrives(self, verb: str, mill: str, body: bytes) -> dict[str, Any]:
        life = self.life
        attempts = [list(row) for row in await self._attempts()]
        entry = self.note("write", verb=verb, mill=mill, attempts=attempts, body=body.decode("utf-8", "replace"))
        entry["life"] = life
        self._arrival.set()
        return entry

    async def _dawdle(self, entry: dict[str, Any]) -> None:
        """On its way until a later write is there, or long enough."""
        self._arrival = asyncio.Event()
        try:
            await asyncio.wait_for(self._arrival.wait(), LATE)
        except TimeoutError:
            entry["late"] = "alone"

    # --- the mills' own doors ------------------------------------------------------------------------------

    async def _door(self, path: str, body: bytes) -> web.Response:
        _, _, mill, what = path.split("/")
        if what == "turn":
            return await self._turn(mill, body)
        self.note("asked", mill=mill, about=what)
        self.at("probe.turn.sent" if what == "probe" else f"{what}.sent")
        if what == "rest" and self.turns[mill]:
            self._awaited_at.setdefault(mill, time.monotonic())
        state = {"turns": self.turns[mill], "flows": self.flows(mill)}
        if what == "rest" and state["flows"]:
            self.life_rested = True
        return _answered(200, state)

    async def _turn(self, mill: str, body: bytes) -> web.Response:
        entry = await self._arrives("turn", mill, body)
        self.at("turn.sent")
        self.turns[mill] += 1
        self.note("applied", write=entry["n"], verb="turn", mill=mill, code=200, changed=True)
        self.at("turn.applied")
        return _answered(200, {"turns": self.turns[mill]})


def _answered(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")


def _stateful_set(mill: str, annotations: dict[str, str]) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": mill}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"serviceName": mill, "replicas": 1, "selector": {"matchLabels": {"app": mill}}, "template": template}
    meta = {"name": mill, "namespace": NAMESPACE, "labels": {"mill": mill}, "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}


def _pod(name: str, labels: dict[str, str], port: int) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": port}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"containers": [container]},
    }
