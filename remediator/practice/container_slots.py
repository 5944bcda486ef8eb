"""
One container's place in a pod: its state as the API shows it, and the logs a kubelet still has.

In: what happened to the container. Out: a `containerStatuses` entry in the shape of a real API server. Only one dead
container is kept, so while a container waits to be restarted, its current and its previous log are the same.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from remediator.practice.containers import Exit, Running
from remediator.practice.refusals import ApiError
from remediator.practice.times import go_duration, rfc3339

LOG_LINES = 5000
FIRST_BACK_OFF = 10
LONGEST_BACK_OFF = 300

Object = dict[str, Any]


@dataclass
class Incarnation:
    """One run of a container: its id and what it said."""

    container_id: str
    began: datetime
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


class ContainerSlot:
    def __init__(self, spec: Mapping[str, Any], pod_name: str, pod_text: str) -> None:
        self.spec = spec
        self.name = str(spec["name"])
        self.running: Running | None = None
        self.is_ready = False
        self.restarts = -1
        self._pod_name = pod_name
        self._pod_text = pod_text
        self._state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self._last: Object = {}
        self._current: Incarnation | None = None
        self._dead: Incarnation | None = None
        self._back_off = 0

    # --- what happens ---

    def begin(self, now: datetime) -> Incarnation:
        self.restarts += 1
        seed = f"{self._pod_text} {self.name} {self.restarts}"
        identity = f"containerd://{hashlib.sha256(seed.encode()).hexdigest()}"
        if "terminated" in self._state:
            self._last = self._state
        self._current = Incarnation(identity, now)
        self._state = {"running": {"startedAt": rfc3339(now)}}
        return self._current

    def end(self, outcome: Exit, now: datetime) -> None:
        if self._current is None:
            return
        self._dead, self._current = self._current, None
        self.running = None
        self.is_ready = False
        self._state = {
            "terminated": {
                "exitCode": outcome.code,
                "reason": outcome.stated_reason,
                "startedAt": rfc3339(self._dead.began),
                "finishedAt": rfc3339(now),
                "containerID": self._dead.container_id,
            }
        }

    def back_off(self) -> int:
        """Seconds before the next start: none for the first, then ten, doubling to five minutes."""
        seconds = self._back_off
        self._back_off = min(seconds * 2, LONGEST_BACK_OFF) if seconds else FIRST_BACK_OFF
        return seconds

    def forget_back_off(self) -> None:
        self._back_off = 0

    def wait_for_restart(self, seconds: int) -> None:
        message = f"back-off {go_duration(seconds)} restarting failed container={self.name} pod={self._pod_text}"
        self._last = self._state
        self._state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}

    # --- what is shown ---

    def status(self) -> Object:
        image = str(self.spec.get("image", ""))
        shown: Object = {
            "name": self.name,
            "image": image,
            "imageID": f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}" if self.restarts >= 0 else "",
            "ready": self.is_ready,
            "started": self._current is not None,
            "restartCount": max(self.restarts, 0),
            "state": self._state,
            "lastState": self._last,
        }
        latest = self._current or self._dead
        if latest is not None:
            shown["containerID"] = latest.container_id
        return shown

    def log(self, *, previous: bool) -> str:
        """Raises the 400 a kubelet answers where there is no such container."""
        if previous:
            if self._dead is None or ("terminated" in self._state and not self._last):
                text = f'previous terminated container "{self.name}" in pod "{self._pod_name}" not found'
                raise ApiError(400, "BadRequest", text)
            return self._dead.text
        found = self._current or self._dead
        if found is None:
            reason = self._state["waiting"]["reason"]
            text = f'container "{self.name}" in pod "{self._pod_name}" is waiting to start: {reason}'
            raise ApiError(400, "BadRequest", text)
        return found.text

    @property
    def latest_container_id(self) -> str:
        latest = self._current or self._dead
        return latest.container_id if latest is not None else ""
