"""What the webhook answers, files and tells, asked over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from remediator.credentials import Credentials
from remediator.model.errors import StoreUnavailable
from remediator.model.verdicts import Reason
from remediator.receiver.notices import (
    AccessDecided,
    AlertsReceived,
    BodyTooLarge,
    LateWrite,
    RequestAnswered,
    Unmatched,
)
from tests.unit.receiver.webhook_door import ALL_BODIES, CAPTURES, TOKEN, Door, capture

MakeDoor = Callable[..., Awaitable[Door]]


def test_all_recordings_are_there() -> None:
    """Twenty-two requests of a real Alertmanager are kept, and the index names each."""
    index = (CAPTURES / "INDEX.txt").read_text("utf-8")
    assert len(ALL_BODIES) == 22
    assert [name for name in ALL_BODIES if f"{name}.json:" not in index] == []


@pytest.mark.parametrize("name", ALL_BODIES)
async def test_every_recorded_body_is_filed_whole(door: Door, name: str) -> None:
    """What a real Alertmanager sent is stored byte for byte, and every alert is accounted for."""
    body = capture(name)
    told = json.loads(body)
    status, answer, _ = await door.post(body, User_Agent="Alertmanager/0.25.0")

    assert (status, answer["received"], answer["truncated_alerts"]) == (
        202,
        len(told["alerts"]),
        told["truncatedAlerts"],
    )
    (delivery,) = door.desk.deliveries
    assert delivery.body == body
    resolved = [a for a in told["alerts"] if a["status"] == "resolved"]
    skipped = [a["labels"]["alertname"] for a in told["alerts"] if a["labels"]["severity"] != "critical"]
    assert [entry["alertname"] for entry in answer["skipped"]] == skipped
    assert dict(delivery.skipped) == ({Reason.NO_RULE_MATCHES: len(skipped)} if skipped else {})
    assert answer["runs_total"] == len(delivery.candidates)
    assert len(delivery.candidates) + len(delivery.resolved) + answer["skipped_total"] == len(told["alerts"])
    assert AlertsReceived(len(told["alerts"]) - len(resolved), len(resolved), told["truncatedAlerts"]) in door.notices


async def test_the_answer_names_the_runs(door: Door) -> None:
    """202 says which run each alert has and whether this delivery made it; sent again, nothing is made."""
    body = capture("single_firing")
    first = await door.post(body)
    again = await door.post(body)

    run = {"run": "run-0", "rule": "a-rule", "alertname": "KubePodCrashLooping", "created": True}
    expected = {
        "received": 1,
        "runs": [run],
        "runs_total": 1,
        "skipped": [],
        "skipped_total": 0,
        "truncated_alerts": 0,
    }
    assert first[:2] == (202, expected)
    assert again[:2] == (202, expected | {"runs": [run | {"created": False}]})


async def test_alerts_that_no_rule_wants_are_listed_and_counted(door: Door) -> None:
    """A skipped alert is named with its place and the reason."""
    status, answer, _ = await door.post(capture("odd_labels_unicode_newline_empty_label_dropped"))
    assert (status, answer["skipped"]) == (
        202,
        [
            {
                "index": 0,
                "alertname": 'Weird "labels"',
                "reason": "no_rule_matches",
                "detail": "no rule matches its labels",
            }
        ],
    )
    assert Unmatched(1) in door.notices


async def test_a_storm_of_ten_thousand_alerts_is_one_delivery(door: Door) -> None:
    """A body seven times the framework's limit is accepted whole; lists in the answer are cut, totals are not."""
    told = json.loads(capture("single_firing"))
    (alert,) = told["alerts"]
    padding = {"description": "x" * 250}
    told["alerts"] = [
        alert | {"labels": alert["labels"] | {"pod": f"web-{n}"}, "annotations": padding} for n in range(10_000)
    ]
    body = json.dumps(told).encode()
    status, answer, _ = await door.post(body)

    assert len(body) > 5_000_000
    assert (status, answer["received"], len(answer["runs"]), answer["runs_total"]) == (202, 10_000, 1000, 10_000)
    assert len(door.desk.deliveries[0].candidates) == 10_000


# --- paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/webhook/alertmanager", 202),
        ("/webhook/alertmanager/", 202),
        ("/webhook/alertmanager?token=q", 202),
        ("/webhook//alertmanager", 404),
        ("/webhook/alertmanager//", 404),
        ("/webhook", 404),
        ("/webhook/", 404),
        ("/", 404),
        ("/WEBHOOK/ALERTMANAGER", 404),
        ("/webhook/./alertmanager/x", 404),
    ],
)
async def test_no_path_is_ever_redirected(door: Door, path: str, status: int) -> None:
    """A redirect would lose the alert, so a path either answers or does not exist."""
    answered, _, response = await door.post(capture("single_firing"), path=path)
    assert (answered, response.headers.get("Location")) == (status, None)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_taken(door: Door, method: str) -> None:
    """Another method is refused as such, whoever asks."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with door.session.request(method, door.url(), headers=headers) as answer:
        assert answer.status == 405
    assert door.desk.deliveries == []


@pytest.mark.parametrize(
    ("body", "token", "status"), [("single_firing", TOKEN, 202), ("single_firing", "x", 401), ("", TOKEN, 400)]
)
async def test_no_answer_names_the_software(door: Door, body: str, token: str, status: int) -> None:
    """Whether taken or refused, the answer says nothing of what answers, and must not be kept."""
    answered, _, response = await door.post(capture(body) if body else b"", Authorization=f"Bearer {token}")
    assert (answered, response.headers.get("Server"), response.headers["Cache-Control"]) == (status, None, "no-store")


# --- who may come in ---------------------------------------------------------------------------------------


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer \u2603{TOKEN}",
        f"Token {TOKEN}",
        TOKEN,
        basic("", TOKEN),
        basic("remediator", TOKEN),
        "Basic !!!",
    ],
)
async def test_a_wrong_credential_is_refused(door: Door, authorization: str) -> None:
    """Whatever is not exactly a configured secret gets 401 with a challenge, and nothing is filed."""
    status, answer, response = await door.post(capture("single_firing"), Authorization=authorization)
    assert (status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="remediator"')
    assert answer == {"error": "the credentials are missing or wrong", "correlation_id": "req-1"}
    assert (door.desk.deliveries, door.notices) == (
        [],
        [AccessDecided("refused", "127.0.0.1", "req-1"), RequestAnswered(401, 0.0, "127.0.0.1", "req-1")],
    )


async def test_basic_authentication_opens_the_door(make_door: MakeDoor, tmp_path: Path) -> None:
    """The user with either password comes in; another user, another password or no colon does not."""
    for name in ("old", "new"):
        (tmp_path / name).write_text(f"the-{name}-password-of-thirty-two-bytes-and-more")
    door = await make_door(
        credentials=Credentials.from_files(username="am", passwords=[tmp_path / "old", tmp_path / "new"])
    )
    tried = {
        "old": basic("am", "the-old-password-of-thirty-two-bytes-and-more"),
        "new": basic("am", "the-new-password-of-thirty-two-bytes-and-more"),
        "another user": basic("pm", "the-new-password-of-thirty-two-bytes-and-more"),
        "another password": basic("am", "the-bad-password-of-thirty-two-bytes-and-more"),
        "no colon": "Basic " + base64.b64encode(b"am").decode(),
    }
    body = capture("single_firing")
    statuses = {what: (await door.post(body, Authorization=header))[0] for what, header in tried.items()}
    assert statuses == {"old": 202, "new": 202, "another user": 401, "another password": 401, "no colon": 401}


def replace(path: Path, text: str | None) -> None:
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)


async def test_a_secret_is_rotated_without_a_wrong_refusal(door: Door, token_file: Path) -> None:
    """A replaced file is read again; while it is gone the sender is told to come again, not that it is wrong."""
    body, new = capture("single_firing"), "Bearer " + "n" * 40
    replace(token_file, None)
    while_gone, _, answer = await door.post(body)
    replace(token_file, "n" * 40)
    old, _, _ = await door.post(body)
    after, _, _ = await door.post(body, Authorization=new)
    assert (while_gone, answer.headers["Retry-After"], old, after) == (503, "5", 401, 202)


# --- the store ---------------------------------------------------------------------------------------------


async def test_a_store_that_cannot_promise_gets_503(door: Door) -> None:
    """Alertmanager comes again after a 503, so the alert is not lost."""

    async def fail() -> None:
        raise StoreUnavailable("disk full at /var/lib/x")

    door.desk.before = fail
    status, answer, response = await door.post(capture("single_firing"))
    assert (status, response.headers["Retry-After"]) == (503, "5")
    assert answer == {"error": "the store cannot promise anything just now", "correlation_id": "req-1"}


async def test_a_slow_store_gets_503_and_may_still_finish(make_door: MakeDoor) -> None:
    """The answer comes at the deadline; the write goes on, and its place is only given back when it ends."""
    door = await make_door(answer_timeout_seconds=0.05, max_requests=1)
    gate = asyncio.Event()
    door.desk.before = lambda: asyncio.wait_for(gate.wait(), 5)  # type: ignore[assignment,return-value]
    body = capture("single_firing")

    slow, answer, _ = await door.post(body)
    no_place, full, _ = await door.post(body)
    gate.set()
    await door.webhook.settle()
    stored = len(door.desk.deliveries)
    again, _, _ = await door.post(body)

    assert (slow, answer["error"]) == (503, "the store did not confirm in time")
    assert (no_place, full["error"]) == (503, "too many requests at once")
    assert (stored, again) == (1, 202)
    assert LateWrite(stored=True, problem="") in door.notices


async def test_a_mistake_of_ours_shows_no_trace(door: Door) -> None:
    """What was not foreseen is a 500 with a correlation id, and neither a name nor a line of code."""

    async def fail() -> None:
        raise ZeroDivisionError("secret detail")

    door.desk.before = fail
    status, answer, response = await door.post(capture("single_firing"))
    assert (status, answer) == (
        500,
        {"error": "the request failed inside the service", "correlation_id": "req-2"},
    )
    assert response.headers["Content-Type"].startswith("application/json")


# --- bounds ------------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_alarms(make_door: MakeDoor) -> None:
    """413 is not tried again by Alertmanager, so it is told apart."""
    door = await make_door(max_body_bytes=2000)
    status, answer, _ = await door.post(b" " * 2001)
    assert (status, answer["error"]) == (413, "the body is larger than 2000 bytes (webhook.max_body_bytes)")
    assert BodyTooLarge(2000) in door.notices


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_a_compressed_body_is_refused(door: Door, encoding: str) -> None:
    """Nothing is ever unpacked, so nothing can grow."""
    status, _, _ = await door.post(b"\x1f\x8b\x08\x00", Content_Encoding=encoding)
    assert (status, door.desk.deliveries) == (415, [])


async def test_too_many_bytes_at_once_get_503(make_door: MakeDoor) -> None:
    """The bodies of all requests together are bounded; the bound frees itself."""
    door = await make_door(max_body_bytes=2000, max_buffered_bytes=2000, answer_timeout_seconds=5)
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await gate.wait()

    door.desk.before = wait
    body = capture("single_firing")
    first = asyncio.create_task(door.post(body))
    await asyncio.wait_for(arrived.wait(), 5)
    second, answer, _ = await door.post(body)
    gate.set()
    held, _, _ = await first
    third, _, _ = await door.post(body)
    assert (second, answer["error"], held, third) == (503, "too many bytes at once", 202, 202)
