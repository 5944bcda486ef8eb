"""What the client asks for, and what it makes of every way in which an answer can be wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from remediator.kube import KubeAsked
from remediator.kube.exchange import Asked, Call
from remediator.model.calls import LogText
from remediator.model.errors import Conflict, Forbidden, NotFound, Permanent, RemoteError, Temporary
from remediator.model.objects import CLAIM, NODE, POD, ObjectRef, ResourceType
from tests.fakes.scripted_cluster import LIVE, REF, TOKEN, World, status
from tests.fakes.scripted_server import Raw, Say, ScriptedServer, chunked

PATH = "/api/v1/namespaces/shop/persistentvolumeclaims"
POD_REF = ObjectRef(POD, "etcd-0", "shop")
WHOLE = Say(200, LIVE).as_bytes()


async def test_a_get_is_a_quorum_read(world: World) -> None:
    """A get sends no resourceVersion and no other query, so the API server asks its quorum."""
    world.server.will(Say(200, LIVE))

    assert await world.view.get(REF) == LIVE

    assert [(r.method, r.target) for r in world.server.requests] == [("GET", f"{PATH}/data-0")]


async def test_every_request_is_told(world: World) -> None:
    """Answers are told with their status, and what was not answered as such."""
    world.server.will(Say(200, LIVE), Say(404, status(404, "NotFound", "not found")), Raw())

    for _ in range(3):
        try:
            await world.view.get(REF)
        except RemoteError:
            continue

    codes = ["200", "404", "no_answer"]
    assert world.told == [KubeAsked("get", "persistentvolumeclaims", code, 0.0) for code in codes]


async def test_a_token_loses_its_newline_and_is_read_anew(world: World) -> None:
    """The token file's trailing newline never reaches a header, and a rotated token is used at once."""
    world.server.will(Say(200, LIVE), Say(200, LIVE))

    await world.view.get(REF)
    world.token_file.write_text("rotated\n")
    await world.view.get(REF)

    assert [r.headers["authorization"] for r in world.server.requests] == [f"Bearer {TOKEN}", "Bearer rotated"]


@pytest.mark.parametrize("content", ["", "\n", "two words", "line\nbreak"])
async def test_without_a_token_nothing_is_sent(world: World, content: str) -> None:
    """A token file that holds no token is Temporary: it is read again the next time."""
    world.token_file.write_text(content)

    with pytest.raises(Temporary, match="holds no token"):
        await world.view.get(REF)

    assert world.server.requests == []


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Raw(then="hang"), id="silence"),
        pytest.param(Raw(WHOLE[:-5], then="hang"), id="silence in the middle"),
        pytest.param(Raw(), id="closed at once"),
        pytest.param(Raw(then="reset"), id="reset"),
        pytest.param(Raw(b"not http at all\r\n\r\n"), id="not HTTP"),
        pytest.param(Say(200, "<html>Welcome</html>"), id="HTML 200"),
        pytest.param(Say(200, "[1]"), id="not an object"),
        pytest.param(Say(200, "[" * 100_000), id="depth bomb"),
        pytest.param(Say(200, {"kind": "Status"}), id="no metadata"),
        pytest.param(Say(200, {**LIVE, "metadata": {**LIVE["metadata"], "name": "other"}}), id="another object"),
        pytest.param(Say(502, "<html>Bad Gateway</html>"), id="HTML 502"),
        pytest.param(Say(404, "<html>no such page</html>"), id="a proxy's 404"),
        pytest.param(Say(500, status(500, "InternalError", "etcd has no leader")), id="500"),
        pytest.param(Say(504, status(504, "Timeout", "too slow")), id="504"),
    ],
)
async def test_a_read_that_failed_unclearly_is_temporary(world: World, action: Say | Raw) -> None:
    """Whatever comes instead of the object, the reader is told to ask again, in the house's words."""
    world.server.will(action)

    with pytest.raises(Temporary, match="get PersistentVolumeClaim shop/data-0"):
        await world.view.get(REF)

    assert len(world.server.requests) == 1


@pytest.mark.parametrize("kept", range(0, len(WHOLE), 23))
async def test_a_cut_answer_is_temporary(world: World, kept: int) -> None:
    """However many bytes arrive before the cut, no half of an object is ever read."""
    world.server.will(Raw(WHOLE[:kept]))

    with pytest.raises(Temporary):
        await world.view.get(REF)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Say(404, status(404, "NotFound", 'persistentvolumeclaims "data-0" not found')), NotFound, "not found"),
        (Say(404, "404 page not found\n"), Permanent, "does not serve this type"),
        (
            Say(404, status(404, "NotFound", "the server could not find the requested resource")),
            Permanent,
            "does not serve this type",
        ),
        (Say(401, status(401, "Unauthorized", "Unauthorized")), Temporary, "401"),
        (Say(403, status(403, "Forbidden", "no")), Forbidden, "403"),
        (Say(409, status(409, "Conflict", "no")), Conflict, "409"),
        (Say(400, status(400, "BadRequest", "no")), Permanent, "400"),
        (Say(422, status(422, "Invalid", "no")), Permanent, "422"),
        (Say(302, "", {"Location": "/elsewhere"}), Permanent, "redirect"),
    ],
)
async def test_what_a_refusal_means(world: World, answer: Say, error: type[RemoteError], words: str) -> None:
    """Each refusal is exactly one of the house's errors; only the API server's own word makes an object absent."""
    world.server.will(answer)

    with pytest.raises(RemoteError, match=words) as caught:
        await world.view.get(REF)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7.0), ("86400", 60.0), ("0", 1.0), ("-5", 1.0), ("soon", 1.0), ("²", 1.0)]
)
@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured_within_bounds(world: World, code: int, said: str, seconds: float) -> None:
    """An overloaded server says how long to wait, and is believed for a minute at most."""
    world.server.will(Say(code, status(code, "TooManyRequests", "slow down"), {"Retry-After": said}))

    with pytest.raises(Temporary) as caught:
        await world.view.get(REF)

    assert caught.value.after == seconds


async def test_a_redirect_is_never_followed(world: World) -> None:
    """The place a redirect points to never hears from us, and so never gets our token."""
    async with ScriptedServer() as elsewhere:
        world.server.will(Say(307, "", {"Location": f"{elsewhere.url}/steal"}))

        with pytest.raises(Permanent, match="redirect"):
            await world.view.get(REF)

        assert elsewhere.requests == []


async def test_nobody_listening_is_temporary(world: World) -> None:
    """A refused connection is Temporary and says that nothing was sent."""
    await world.server.__aexit__()

    with pytest.raises(Temporary, match="nothing was sent"):
        await world.view.get(REF)


async def test_a_deadline_of_none_is_the_usual_one(world: World) -> None:
    """There is no request without a deadline, whatever the caller passes."""
    world.server.will(Raw(then="hang"))

    with pytest.raises(Temporary, match="no whole answer in time"):
        await world.client.requests.answer(Asked("get", "pods", "Pod"), Call("GET", "/api/v1/pods"), seconds=None)


async def test_messages_are_short_and_hold_no_secret(world: World) -> None:
    """A server that echoes our token in a long message does not get it into an error, nor control characters."""
    world.server.will(Say(403, status(403, "Forbidden", f"Bearer {TOKEN} \x1b[31m\n" + "long " * 200)))

    with pytest.raises(Forbidden) as caught:
        await world.view.get(REF)

    message = str(caught.value)
    assert len(message) <= 300
    assert "PersistentVolumeClaim shop/data-0" in message
    assert "canary-secret" not in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "ref",
    [
        ObjectRef(CLAIM, "../../secrets", "shop"),
        ObjectRef(CLAIM, "a/b", "shop"),
        ObjectRef(CLAIM, "a..b", "shop"),
        ObjectRef(CLAIM, "a%2fb", "shop"),
        ObjectRef(CLAIM, "a?b", "shop"),
        ObjectRef(CLAIM, "", "shop"),
        ObjectRef(CLAIM, "a\n", "shop"),
        ObjectRef(CLAIM, "a", "kube/system"),
        ObjectRef(CLAIM, "a", "a.b"),
        ObjectRef(CLAIM, "a", ""),
        ObjectRef(NODE, "a", "shop"),
        ObjectRef(ResourceType("v1", "Pod", "pods/exec"), "a", "shop"),
        ObjectRef(ResourceType("../v1", "Pod", "pods"), "a", "shop"),
        ObjectRef(ResourceType("a..b/v1", "Pod", "pods"), "a", "shop"),
    ],
)
async def test_what_cannot_be_a_name_reaches_no_url(world: World, ref: ObjectRef) -> None:
    """A name the API server could not have is refused before a request exists."""
    with pytest.raises(Permanent):
        await world.view.get(ref)

    assert world.server.requests == []


# --- lists ---------------------------------------------------------------------------------------------------


def page(*names: str, more: str = "", **metadata: Any) -> Say:
    items = [{"metadata": {"name": name, "namespace": "shop", "labels": {"app": "etcd"}}} for name in names]
    return Say(
        200,
        {
            "kind": "PersistentVolumeClaimList",
            "metadata": {"resourceVersion": "9", "continue": more, **metadata},
            "items": items,
        },
    )


EXPIRED = Say(410, status(410, "Expired", "the continue token is too old"))


async def test_a_list_is_read_to_its_end(world: World) -> None:
    """Pages are put together, and every object says what it is although built-in types leave that out."""
    world.server.will(page("a", "b", more="t/1+="), page("c"))

    found = await world.view.list(CLAIM, "shop", labels={"app": "etcd"})

    assert [(item["kind"], item["apiVersion"], item["metadata"]["name"]) for item in found] == [
        ("PersistentVolumeClaim", "v1", name) for name in "abc"
    ]
    assert [r.target for r in world.server.requests] == [
        f"{PATH}?limit=500&labelSelector=app%3Detcd",
        f"{PATH}?limit=500&labelSelector=app%3Detcd&continue=t/1%2B%3D",
    ]


async def test_an_expired_list_starts_anew_once(world: World) -> None:
    """What was read before the token expired is thrown away: the two halves do not belong together."""
    world.server.will(page("old", more="t"), EXPIRED, page("a", more="u"), page("b"))

    found = await world.view.list(CLAIM, "shop")

    assert [item["metadata"]["name"] for item in found] == ["a", "b"]


async def test_a_list_that_expires_twice_is_temporary(world: World) -> None:
    """The second expiry ends it, with no part of a list."""
    world.server.will(page("a", more="t"), EXPIRED, page("a", more="t"), EXPIRED)

    with pytest.raises(Temporary, match="expired twice"):
        await world.view.list(CLAIM, "shop")


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(Raw(), id="lost"),
        pytest.param(Say(500), id="500"),
        pytest.param(page("b", more="t"), id="the same token again"),
        pytest.param(page("b", remainingItemCount=3), id="more, but no token"),
        pytest.param(Say(200, {"kind": "PersistentVolumeClaimList", "metadata": {}}), id="no items"),
        pytest.param(Say(200, {"kind": "Status", "metadata": {}, "items": []}), id="no list"),
        pytest.param(Say(200, {"kind": "PodList", "items": []}), id="no metadata"),
        pytest.param(Say(200, {"kind": "PodList", "metadata": {}, "items": [{}]}), id="an item without a name"),
        pytest.param(Say(200, {"kind": "PodList", "metadata": {}, "items": "all"}), id="items is text"),
    ],
)
async def test_a_list_is_never_a_part(world: World, second: Say | Raw) -> None:
    """A later page that is lost or wrong takes the first one with it."""
    world.server.will(page("a", more="t"), second)

    with pytest.raises(Temporary):
        await world.view.list(CLAIM, "shop")


async def test_no_items_at_all_may_be_null(world: World) -> None:
    """Go writes an empty list as null; that is a whole list."""
    world.server.will(Say(200, {"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": None}))

    assert await world.view.list(CLAIM) == ()


@pytest.mark.parametrize(("namespace", "labels"), [("bank", None), ("shop", {"app": "kafka"})])
async def test_a_server_that_ignores_the_question_is_not_believed(
    world: World, namespace: str, labels: dict[str, str] | None
) -> None:
    """Objects that were not asked for are never taken for those that were."""
    world.server.will(page("a"))

    with pytest.raises(Temporary, match="not asked for"):
        await world.view.list(CLAIM, namespace, labels=labels)


@pytest.mark.parametrize("labels", [{}, {"app": "a,b"}, {"app": "a b"}, {"app!": "x"}, {"": "x"}, {"a": "x\n"}])
async def test_a_selector_that_could_mean_more_is_refused(world: World, labels: dict[str, str]) -> None:
    """An empty selector would mean everything, and a crafted one something else: nothing is asked."""
    with pytest.raises(Permanent):
        await world.view.list(CLAIM, "shop", labels=labels)

    assert world.server.requests == []


# --- logs ----------------------------------------------------------------------------------------------------


async def test_a_log_is_asked_with_bounds(world: World) -> None:
    """Container, lines and bytes are all named; the earlier container only on request."""
    world.server.will(Say(200, "one\ntwo\n"), Say(200, "before\n"))

    now = await world.view.log(POD_REF, "etcd", previous=False)
    before = await world.view.log(POD_REF, "etcd", previous=True, tail_lines=5)

    assert (now, before) == (LogText("one\ntwo\n"), LogText("before\n"))
    assert [r.target for r in world.server.requests] == [
        "/api/v1/namespaces/shop/pods/etcd-0/log?container=etcd&tailLines=200&limitBytes=1048576",
        "/api/v1/namespaces/shop/pods/etcd-0/log?container=etcd&tailLines=5&limitBytes=1048576&previous=true",
    ]


async def test_a_log_that_could_not_be_read_is_not_an_empty_log(world: World) -> None:
    """The kubelet's 200 without a log is marked as unavailable: unknown, not "no such line"."""
    text = "unable to retrieve container logs for containerd://0af3"
    world.server.will(Say(200, text))

    assert await world.view.log(POD_REF, "etcd", previous=True) == LogText(text, available=False)


async def test_no_earlier_container_is_not_found(world: World) -> None:
    """The API server says 400 for it; the house says NotFound."""
    message = 'previous terminated container "etcd" in pod "etcd-0" not found'
    world.server.will(Say(400, status(400, "BadRequest", message)))

    with pytest.raises(NotFound, match="previous terminated container"):
        await world.view.log(POD_REF, "etcd", previous=True)


async def test_a_log_beyond_the_limit_is_cut(world: World) -> None:
    """A server that ignores limitBytes fills no memory."""
    world.server.will(Raw(chunked(*[b"x" * 65536] * 20), then="hang"))

    assert len((await world.view.log(POD_REF, "etcd", previous=False)).text) == 1024 * 1024


async def test_a_log_of_another_incarnation_is_a_conflict(world: World) -> None:
    """A log belongs to a name: with a uid asked for, the pod must still be that one afterwards."""
    anew = {"metadata": {"name": "etcd-0", "namespace": "shop", "uid": "new", "resourceVersion": "1"}}
    world.server.will(Say(200, "no space left\n"), Say(200, anew))

    with pytest.raises(Conflict, match="made anew"):
        await world.view.log(ObjectRef(POD, "etcd-0", "shop", "old"), "etcd", previous=False)


@pytest.mark.parametrize(
    ("pod", "container", "lines"),
    [(POD_REF, "a/b", 5), (POD_REF, "", 5), (POD_REF, "etcd", 0), (POD_REF, "etcd", 10**9), (REF, "etcd", 5)],
)
async def test_a_log_of_nothing_is_refused(world: World, pod: ObjectRef, container: str, lines: int) -> None:
    """What cannot be a container, or no bound at all, is refused before a request exists."""
    with pytest.raises(Permanent):
        await world.view.log(pod, container, previous=False, tail_lines=lines)

    assert world.server.requests == []


# --- the room itself -------------------------------------------------------------------------------------------


def test_importing_the_room_is_cheap() -> None:
    """The heavy library is loaded when a client connects and not before."""
    code = "import remediator.kube, sys, json; print(json.dumps([m for m in sys.modules if m.startswith(%r)]))"
    done = subprocess.run(
        [sys.executable, "-c", code % ("kubernetes_asyncio",)], capture_output=True, check=True, text=True
    )

    assert json.loads(done.stdout) == []
