"""What a write says, what may not be sent at all, and that nothing is ever sent twice."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.model.errors import (
    AnswerLost,
    Conflict,
    Forbidden,
    NotFound,
    Permanent,
    PermitRefused,
    RemediatorError,
    RemoteError,
    Temporary,
)
from remediator.model.objects import POD, ObjectRef
from remediator.model.seams import Cluster
from remediator.model.verdicts import Permit
from tests.fakes.scripted_cluster import LIVE, REF, World, status
from tests.fakes.scripted_server import Raw, Say

PATH = "/api/v1/namespaces/shop/persistentvolumeclaims/data-0"
VERBS = pytest.mark.parametrize("verb", ["patch", "delete"])
WHOLE = Say(200, LIVE).as_bytes()


async def write(verb: str, cluster: Cluster, ref: ObjectRef = REF, live: dict[str, Any] = LIVE) -> None:
    if verb == "patch":
        await cluster.patch(live, ref, {"spec": {"x": 1}})
    else:
        await cluster.delete(live, ref)


async def test_a_patch_is_for_one_incarnation_and_version(world: World) -> None:
    """It goes out as a JSON merge patch with the uid and resourceVersion that were read, and answers the new object."""
    changed = {**LIVE, "metadata": {**LIVE["metadata"], "resourceVersion": "8"}}
    world.server.will(Say(200, changed))

    answered = await world.permitted().patch(LIVE, REF, {"metadata": {"labels": {"a": None}}, "spec": {"x": 1}})

    (seen,) = world.server.requests
    assert answered == changed
    assert (seen.method, seen.target) == ("PATCH", PATH)
    assert seen.headers["content-type"] == "application/merge-patch+json"
    assert seen.json == {
        "metadata": {"labels": {"a": None}, "uid": "u-1", "resourceVersion": "7"},
        "spec": {"x": 1},
    }


async def test_a_delete_is_for_one_incarnation_and_version(world: World) -> None:
    """Its preconditions are uid and resourceVersion, and it never says how graceful to be."""
    world.server.will(Say(200, {"kind": "Status", "status": "Success"}))

    await world.permitted().delete(LIVE, REF)

    (seen,) = world.server.requests
    assert (seen.method, seen.target) == ("DELETE", PATH)
    assert seen.json == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u-1", "resourceVersion": "7"},
    }


@VERBS
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Raw(then="hang"), id="silence"),
        pytest.param(Raw(), id="closed"),
        pytest.param(Raw(then="reset"), id="reset"),
        pytest.param(Raw(WHOLE[:-3]), id="cut"),
        pytest.param(Say(200, "<html>"), id="HTML 200"),
        pytest.param(Say(404, "<html>"), id="a proxy's 404"),
        pytest.param(Say(500, status(500, "InternalError", "webhook")), id="500"),
        pytest.param(Say(502, "<html>"), id="502"),
        pytest.param(Say(503, "upstream reset"), id="503"),
        pytest.param(Say(504, status(504, "Timeout", "slow")), id="504"),
    ],
)
async def test_a_write_whose_answer_is_lost_is_sent_once(world: World, verb: str, action: Say | Raw) -> None:
    """It may have been applied, so the caller is told exactly that, and it is never sent again."""
    world.server.will(action, action)

    with pytest.raises(AnswerLost, match=f"{verb} PersistentVolumeClaim shop/data-0"):
        await write(verb, world.permitted())

    assert len(world.server.requests) == 1


@pytest.mark.parametrize("kept", range(0, len(WHOLE), 41))
async def test_a_cut_answer_to_a_write_is_lost(world: World, kept: int) -> None:
    """However many bytes arrive before the cut, the patch may have been applied."""
    world.server.will(Raw(WHOLE[:kept]))

    with pytest.raises(AnswerLost):
        await write("patch", world.permitted())


@VERBS
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Say(429, status(429, "TooManyRequests", "slow"), {"Retry-After": "3"}), Temporary),
        (Say(409, status(409, "Conflict", "modified")), Conflict),
        (Say(404, status(404, "NotFound", 'pvc "data-0" not found')), NotFound),
        (Say(403, status(403, "Forbidden", "no")), Forbidden),
        (Say(422, status(422, "Invalid", "no")), Permanent),
        (Say(307, "", {"Location": "/"}), Permanent),
    ],
)
async def test_a_refused_write_was_not_applied(world: World, verb: str, answer: Say, error: type[RemoteError]) -> None:
    """What the server refused is no lost answer, and is not sent again."""
    world.server.will(answer, answer)

    with pytest.raises(RemoteError) as caught:
        await write(verb, world.permitted())

    assert type(caught.value) is error
    assert len(world.server.requests) == 1


@VERBS
async def test_a_write_that_never_left_is_temporary(world: World, verb: str) -> None:
    """With nobody listening, nothing was sent and nothing can have been applied."""
    await world.server.__aexit__()

    with pytest.raises(Temporary, match="nothing was sent"):
        await write(verb, world.permitted())


@VERBS
async def test_a_permit_runs_out(world: World, verb: str) -> None:
    """At the very moment it expires, a permit sends nothing any more."""
    cluster = world.permitted()
    world.clock.advance(5)

    with pytest.raises(PermitRefused, match="run out"):
        await write(verb, cluster)

    assert world.server.requests == []


@VERBS
@pytest.mark.parametrize(
    "may_touch",
    [
        (),
        (ObjectRef(POD, "data-0", "shop", "u-1"),),
        (ObjectRef(REF.resource, "data-1", "shop"),),
        (ObjectRef(REF.resource, "data-0", "bank"),),
        (ObjectRef(REF.resource, "data-0", "shop", "u-0"),),
    ],
)
async def test_a_permit_reaches_no_further_than_it_says(
    world: World, verb: str, may_touch: tuple[ObjectRef, ...]
) -> None:
    """Another type, name, namespace or incarnation is refused, also through a reference without a uid."""
    cluster = world.client.bind(Permit("run-1", 1, 1, may_touch, world.clock.monotonic() + 5))

    for ref in (REF, REF.any_incarnation()):
        with pytest.raises(PermitRefused, match="may not touch"):
            await write(verb, cluster, ref)

    assert world.server.requests == []


@VERBS
@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({**LIVE["metadata"], "uid": "u-2"}, Conflict),
        ({**LIVE["metadata"], "name": "data-1"}, Conflict),
        ({**LIVE["metadata"], "namespace": "bank"}, Conflict),
        ({**LIVE["metadata"], "uid": ""}, Permanent),
        ({**LIVE["metadata"], "resourceVersion": ""}, Permanent),
        ({}, Permanent),
        (None, Permanent),
    ],
)
async def test_a_write_is_for_the_object_that_was_read(
    world: World, verb: str, metadata: Any, error: type[RemediatorError]
) -> None:
    """Evidence about one object never becomes a write on another, nor one without its preconditions."""
    with pytest.raises(error):
        await write(verb, world.permitted(REF.any_incarnation()), REF, {**LIVE, "metadata": metadata})

    assert world.server.requests == []


@pytest.mark.parametrize("metadata", [None, {"uid": "x"}, {"resourceVersion": None}, {"name": "x"}, {"namespace": "x"}])
async def test_a_change_leaves_the_identity_alone(world: World, metadata: Any) -> None:
    """A change that would take the preconditions away, or aim elsewhere, is refused."""
    with pytest.raises(Permanent, match="identity"):
        await world.permitted().patch(LIVE, REF, {"metadata": metadata})

    assert world.server.requests == []
