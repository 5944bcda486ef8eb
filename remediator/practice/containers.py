"""
What a kubelet asks of whatever runs containers: start, wait for the end, stop, say whether it is healthy.

In: a launch, which is a container of a live pod with its volumes, address and log. Out: a running container and, in
the end, an exit. Two plain runtimes are here: one that runs a script and one that never ends. They never touch the
API server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from remediator.model.objects import Manifest
from remediator.model.seams import Clock

KILLED = 137
"""128 + SIGKILL, as the container runtime reports it."""


@dataclass(frozen=True)
class Launch:
    """One start of one container."""

    pod: Manifest
    container: Mapping[str, Any]
    address: str
    volumes: Mapping[str, str]
    """From the name of a volume in the pod's spec to the name of the PersistentVolume behind its claim."""
    log: Callable[[str], None]

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def pod_name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def env(self) -> dict[str, str]:
        return environment(self.pod, self.container, self.address)


@dataclass(frozen=True)
class Exit:
    code: int
    reason: str = ""

    @property
    def stated_reason(self) -> str:
        """The reason a container status carries."""
        return self.reason or ("Completed" if self.code == 0 else "Error")


class Running(Protocol):
    """A started container."""

    async def wait(self) -> Exit:
        """The end; may be waited for more than once."""
        ...

    async def stop(self, grace: float) -> None:
        """Ask it to end, and end it after `grace` seconds."""
        ...

    async def is_healthy(self) -> bool: ...


class Runtime(Protocol):
    """Something that can run containers."""

    async def start(self, launch: Launch) -> Running: ...


_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def environment(pod: Manifest, container: Mapping[str, Any], address: str) -> dict[str, str]:
    """The container's variables, `$(NAME)` expanded from those before it as a kubelet does."""
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"].get("namespace", ""),
        "metadata.uid": pod["metadata"].get("uid", ""),
        "status.podIP": address,
        "spec.nodeName": pod["spec"].get("nodeName", ""),
    }
    found: dict[str, str] = {}
    for variable in container.get("env", ()):
        path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        text = str(fields.get(path, "")) if path else str(variable.get("value", ""))
        found[variable["name"]] = _REFERENCE.sub(lambda m: found.get(m[1], m[0]), text)
    return found


@dataclass
class Ending:
    """A container's end, decided once: by itself, by a stop, or by a test."""

    _end: asyncio.Future[Exit] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def has_come(self) -> bool:
        return self._end.done()

    def come(self, outcome: Exit) -> None:
        if not self._end.done():
            self._end.set_result(outcome)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._end)


class IdleContainer:
    """Runs, is healthy, and ends only when told."""

    def __init__(self) -> None:
        self._ending = Ending()

    async def wait(self) -> Exit:
        return await self._ending.wait()

    async def stop(self, grace: float) -> None:
        self._ending.come(Exit(0))

    async def is_healthy(self) -> bool:
        return not self._ending.has_come


class IdleRuntime:
    """Containers nobody simulates."""

    async def start(self, launch: Launch) -> Running:
        return IdleContainer()


@dataclass(frozen=True)
class Act:
    """One run of a scripted container: what it says, how long it lives, how it ends."""

    run_for: float
    exit_code: int
    reason: str = ""
    log: Sequence[str] = ()
    healthy: bool = False


class ScriptedContainer:
    def __init__(self, act: Act, clock: Clock) -> None:
        self._act = act
        self._clock = clock
        self._ending = Ending()

    async def wait(self) -> Exit:
        life = asyncio.ensure_future(self._live())
        try:
            return await self._ending.wait()
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    async def _live(self) -> None:
        await self._clock.sleep(self._act.run_for)
        self._ending.come(Exit(self._act.exit_code, self._act.reason))

    async def stop(self, grace: float) -> None:
        self._ending.come(Exit(KILLED))

    async def is_healthy(self) -> bool:
        return self._act.healthy and not self._ending.has_come


class ScriptedRuntime:
    """Plays a list of acts; after the last it repeats it, or, where the list is a cycle, begins again."""

    def __init__(self, acts: Sequence[Act], clock: Clock, *, cycle: bool = True) -> None:
        self._acts = acts
        self._clock = clock
        self._cycle = cycle
        self._played = 0

    async def start(self, launch: Launch) -> Running:
        turn = self._played % len(self._acts) if self._cycle else min(self._played, len(self._acts) - 1)
        self._played += 1
        act = self._acts[turn]
        for line in act.log:
            launch.log(line)
        return ScriptedContainer(act, self._clock)
