"""
Follow a list as it changes.

In: a type, a namespace, labels. Out: first everything there is, then one event for each change, for ever. A watch
that is cut, closed or silent goes on where it was; one that is too old starts with everything anew. It always
waits before it asks again, so a server that closes at once is not hammered. Never a base for a decision: what a
watch says is old, and whoever acts on it reads again first.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from remediator.kube.answers import refusal, unclear
from remediator.kube.client import KubeClient
from remediator.kube.exchange import MIB, Answer, Asked, Stream
from remediator.kube.listing import list_whole
from remediator.kube.paths import collection_path, label_selector
from remediator.kube.requests import with_query
from remediator.model.errors import Temporary
from remediator.model.objects import Manifest, ResourceType

WATCH_SECONDS = 300
IDLE_SECONDS = 150.0
"""A server sends a bookmark about once a minute: two missed, and the connection is taken for half-open."""
LONGEST_LINE = 16 * MIB
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


class Change(StrEnum):
    LISTED = "LISTED"
    """Everything there is now; what was known before and is not in it is gone."""
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True)
class WatchEvent:
    change: Change
    items: tuple[Manifest, ...]
    """All objects for LISTED, else the one that changed."""


class _TooOld(Exception):
    """The version to go on from is forgotten."""


async def watch(
    client: KubeClient,
    resource: ResourceType,
    namespace: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    chance: Callable[[], float],
    idle: float = IDLE_SECONDS,
) -> AsyncGenerator[WatchEvent, None]:
    """`chance` answers a number in [0, 1) for the jitter. Raises Permanent (Forbidden, a type not served)."""
    source = _Source(client, resource, namespace, labels, idle)
    waits = _Waits(client, chance)
    while True:
        try:
            async with aclosing(source.once()) as events:
                async for event in events:
                    waits.good()
                    yield event
        except Temporary as error:
            await waits.wait(at_least=error.after)
        except _TooOld:
            source.version = ""
            await waits.wait()
        else:
            await waits.wait()


class _Waits:
    """Longer with each failure in a row, and never nothing."""

    def __init__(self, client: KubeClient, chance: Callable[[], float]) -> None:
        self._clock = client.requests.clock
        self._chance = chance
        self._failures = 0

    def good(self) -> None:
        self._failures = 0

    async def wait(self, *, at_least: float = 0.0) -> None:
        longest = min(_FIRST_WAIT * 2.0 ** min(self._failures, 10), _LONGEST_WAIT)
        self._failures += 1
        await self._clock.sleep(max(at_least, longest * (0.5 + self._chance() / 2)))


class _Source:
    """Where the watch is: `version` is the last one seen, "" for start with a list."""

    def __init__(
        self,
        client: KubeClient,
        resource: ResourceType,
        namespace: str,
        labels: Mapping[str, str] | None,
        idle: float,
    ) -> None:
        self.version = ""
        self._requests = client.requests
        self._resource, self._namespace, self._labels, self._idle = resource, namespace, labels, idle
        self._path = collection_path(resource, namespace)
        self._selector = {} if labels is None else {"labelSelector": label_selector(labels)}
        self._asked = Asked("watch", resource.plural, f"{resource.kind} in {namespace or 'the cluster'}")

    async def once(self) -> AsyncGenerator[WatchEvent, None]:
        """A list if there is no version to go on from, then one connection until it ends."""
        if not self.version:
            listed = await list_whole(self._requests, self._resource, self._namespace, self._labels)
            self.version = listed.version
            yield WatchEvent(Change.LISTED, listed.items)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(WATCH_SECONDS),
            **self._selector,
        }
        target = with_query(self._path, query)
        seconds = WATCH_SECONDS + self._idle
        async with self._requests.stream(self._asked, target, seconds=seconds, idle=self._idle) as stream:
            self._check(stream.answer)
            async for line in self._lines(stream):
                event = self._event(line)
                if event is not None:
                    yield event

    def _check(self, answer: Answer) -> None:
        if answer.status == 410:
            raise _TooOld
        if not answer.is_good:
            raise refusal(self._asked, answer)

    async def _lines(self, stream: Stream) -> AsyncIterator[bytes]:
        rest = bytearray()
        async for chunk in stream.chunks:
            *whole, last = chunk.split(b"\n")
            for part in whole:
                yield bytes(rest + part)
                rest.clear()
            rest += last
            if len(rest) > LONGEST_LINE:
                raise unclear(self._asked, f"an event is longer than {LONGEST_LINE} bytes")
        # What is left over is half an event: it comes again when the watch goes on from the last whole one.

    def _event(self, line: bytes) -> WatchEvent | None:
        """The event in a line; None for a bookmark. Remembers the version."""
        said = self._parsed(line)
        kind, item = said.get("type"), said.get("object")
        if kind == "ERROR":
            raise self._failure(item if isinstance(item, dict) else {})
        version = _version(item)
        if not isinstance(item, dict) or not version or kind not in {*map(str, Change), "BOOKMARK"}:
            raise unclear(self._asked, "an event is not one")
        self.version = version
        return None if kind == "BOOKMARK" else WatchEvent(Change(kind), (item,))

    def _parsed(self, line: bytes) -> Mapping[str, Any]:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise unclear(self._asked, "an event is not JSON") from error
        return said if isinstance(said, dict) else {}

    def _failure(self, status: Mapping[str, Any]) -> Exception:
        code = status.get("code")
        if code == 410 or status.get("reason") in {"Expired", "Gone"}:
            return _TooOld()
        body = json.dumps({**status, "kind": "Status"}).encode()
        return refusal(self._asked, Answer(code if isinstance(code, int) else 500, body))


def _version(item: object) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""
