"""The watch goes on after every kind of end, and never in a hurry."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest

from remediator.kube import WatchEvent, watch
from remediator.model.errors import Forbidden
from remediator.model.objects import POD
from tests.fakes.scripted_cluster import World, status
from tests.fakes.scripted_server import Raw, Say, chunked

LIST = "/api/v1/namespaces/shop/pods?limit=500"


def pod(name: str, version: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": version}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def listed(version: str, *items: dict[str, Any]) -> Say:
    return Say(200, {"kind": "PodList", "metadata": {"resourceVersion": version}, "items": list(items)})


def line(kind: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


async def first(world: World, count: int, *, idle: float = 0.5) -> list[tuple[str, list[str]]]:
    """The kinds and names of the first events."""
    seen: list[WatchEvent] = []
    async with aclosing(watch(world.client, POD, "shop", chance=lambda: 0.0, idle=idle)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return [(str(event.change), [item["metadata"]["name"] for item in event.items]) for event in seen]


def versions(world: World) -> list[str]:
    """What each request after the list went on from; `list` for a list."""
    targets = [request.target for request in world.server.requests]
    return ["list" if t == LIST else t.partition("resourceVersion=")[2].partition("&")[0] for t in targets]


async def test_a_watch_lists_and_then_follows(world: World) -> None:
    """First everything there is, then each change; a bookmark is no change."""
    changes = line("ADDED", pod("b", "6")) + line("BOOKMARK", pod("", "7")) + line("DELETED", pod("a", "8"))
    world.server.will(listed("5", pod("a", "3")), Raw(chunked(changes)))

    assert await first(world, 3) == [("LISTED", ["a"]), ("ADDED", ["b"]), ("DELETED", ["a"])]
    assert world.server.requests[1].target == (
        "/api/v1/namespaces/shop/pods?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=300"
    )


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Raw(chunked(line("ADDED", pod("b", "6")))), id="closed"),
        pytest.param(Raw(chunked(line("ADDED", pod("b", "6")), whole=False)), id="cut"),
        pytest.param(Raw(chunked(line("ADDED", pod("b", "6")), b'{"type":"ADD', whole=False)), id="cut in an event"),
        pytest.param(Raw(chunked(line("ADDED", pod("b", "6")), b"nonsense\n")), id="nonsense"),
        pytest.param(Raw(chunked(line("ADDED", pod("b", "6")), whole=False), then="hang"), id="half-open"),
    ],
)
async def test_a_watch_goes_on_where_it_was(world: World, end: Raw) -> None:
    """Closed, cut, garbled or silent: it resumes from the last whole event, without a gap and without a repeat."""
    world.server.will(listed("5"), end, Raw(chunked(line("MODIFIED", pod("b", "9")))))

    assert await first(world, 3) == [("LISTED", []), ("ADDED", ["b"]), ("MODIFIED", ["b"])]
    assert versions(world) == ["list", "5", "6"]


async def test_a_change_split_over_chunks_is_one_change(world: World) -> None:
    """Where a chunk ends says nothing about where an event ends."""
    whole = line("ADDED", pod("b", "6")) + line("ADDED", pod("c", "7"))
    world.server.will(listed("5"), Raw(chunked(*[whole[i : i + 7] for i in range(0, len(whole), 7)])))

    assert await first(world, 3) == [("LISTED", []), ("ADDED", ["b"]), ("ADDED", ["c"])]


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(Say(410, status(410, "Expired", "too old resource version")), id="HTTP"),
        pytest.param(Raw(chunked(line("ERROR", status(410, "Expired", "too old")))), id="event"),
    ],
)
async def test_a_watch_that_is_too_old_lists_anew(world: World, gone: Say | Raw) -> None:
    """After 410, as a status or as an event, it starts with everything there is instead of the same version again."""
    world.server.will(listed("5", pod("a", "3")), gone, listed("50", pod("c", "49")), Raw(then="hang"))

    assert await first(world, 2) == [("LISTED", ["a"]), ("LISTED", ["c"])]
    assert versions(world) == ["list", "5", "list"]


async def test_a_server_that_closes_at_once_is_not_hammered(world: World) -> None:
    """Each end in a row is waited for longer, up to half a minute."""
    world.server.will(listed("5"), *[Raw(chunked())] * 8, Raw(chunked(line("ADDED", pod("b", "6")))))

    await first(world, 2)

    assert world.clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


async def test_a_server_that_asks_for_time_gets_it(world: World) -> None:
    """Retry-After is honoured before the next try."""
    slow = Say(429, status(429, "TooManyRequests", "slow down"), {"Retry-After": "9"})
    world.server.will(listed("5"), slow, Raw(chunked(line("ADDED", pod("b", "6")))))

    await first(world, 2)

    assert world.clock.slept == [9.0]


async def test_a_forbidden_watch_ends(world: World) -> None:
    """What asking again cannot cure is raised."""
    world.server.will(listed("5"), Raw(chunked(line("ERROR", status(403, "Forbidden", "no")))))

    with pytest.raises(Forbidden):
        await first(world, 2)
