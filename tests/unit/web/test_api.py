"""The API and the operations routes, asked over HTTP with the store in memory behind them."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from remediator.brakes.latching import Latch
from remediator.brakes.watching import Brakes
from remediator.credentials import Credentials
from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import StoreUnavailable
from remediator.model.evidence import Answer, Diagnosis, DiagnosisResult, Evidence
from remediator.model.ledger import AuditKind, AuditNote, Candidate, Delivery, StartRequest, Switch, Trace
from remediator.model.objects import POD, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from remediator.model.rules import Limit, Matcher, MatchOp, Mode, Rule, Verification
from remediator.model.runs import RunEvent, RunState, StepRecord, StepState
from remediator.model.verdicts import Reason
from remediator.store.memory import MemoryStore
from remediator.web.api import Api, ApiAnswered
from remediator.web.operations import operations_routes
from remediator.web.public import SECURITY_HEADERS, public_application
from remediator.web.routes import ROUTES
from tests.fakes.fake_brake import FakeBrake
from tests.fakes.fake_clock import FakeClock

TOKEN = "an-operator-token-of-more-than-32-bytes"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHO = {"by": "ada", "why": "maintenance of rack 7"}


def a_rule(name: str) -> Rule:
    return Rule(
        name=name,
        system="etcd",
        mode=Mode.AUTO,
        matchers=(Matcher("alertname", MatchOp.EQUAL, "EtcdDown", lambda text: text == "EtcdDown"),),
        namespaces=("shop",),
        remedy="replace",
        parameters={},
        conditions=(),
        per_rule=Limit(3, HOUR),
        per_target=Limit(1, HOUR),
        cooldown=timedelta(minutes=30),
        patience=HOUR,
        verification=Verification(HOUR, HOUR, HOUR),
        runbook="https://example.invalid/etcd",
        revision="rev1",
        source="rules/etcd.yaml:1",
    )


@dataclass
class Office:
    """What a test holds: a client that may come in, and what is behind the API."""

    client: TestClient[web.Request, web.Application]
    store: MemoryStore
    app: web.Application
    told: list[ApiAnswered]
    brakes: tuple[FakeBrake, FakeBrake]

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def office(tmp_path: Path, aiohttp_client: Callable[..., Awaitable[Any]], free_port: int) -> Office:
    (tmp_path / "token").write_text(TOKEN)
    clock, numbers = FakeClock(NOW), itertools.count(1)
    store = MemoryStore(clock)
    told: list[ApiAnswered] = []
    rules = [a_rule("etcd-member-removed"), a_rule("etcd-collapse")]

    def ids(word: str) -> str:
        return f"{word}-{next(numbers)}"

    credentials = Credentials.from_files([tmp_path / "token"])
    pair = FakeBrake("file FREEZE"), FakeBrake("configmap ops/freeze")
    brakes = Brakes(pair, None, Latch(store, clock), clock, lambda _: None)  # type: ignore[arg-type]  # no signal here
    api = Api(credentials, store, brakes, lambda: rules, clock, ids, told.append)
    app = public_application(api.routes(), ids)
    return Office(await aiohttp_client(TestServer(app, port=free_port)), store, app, told, pair)


# --- who may do what ---------------------------------------------------------------------------------------


async def test_no_route_is_served_that_the_table_does_not_list(office: Office) -> None:
    """Method and path of every served route, and nothing else, stand in the table."""
    served = [(route.method, route.resource.canonical) for route in office.app.router.routes() if route.resource]
    assert sorted(served) == sorted((route.method, route.path) for route in ROUTES)
    assert [r.permission for r in ROUTES if (r.method == "POST") != (r.permission == "change")] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}"])
async def test_nobody_comes_in_without_the_credential(office: Office, route: Any, authorization: str | None) -> None:
    """Every route of the table answers a stranger 401, tells of it, and changes nothing."""
    path = route.path.format(id="run-1", name="etcd-collapse")
    headers = {"Authorization": authorization} if authorization else {}
    async with office.client.request(route.method, path, json=WHO, headers=headers) as answer:
        said = await answer.json()
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="remediator"')
    assert said == {"error": "the operator's credential is missing or wrong", "correlation_id": "req-1"}
    assert office.told == [ApiAnswered(route.method, route.path, route.permission, 401, "127.0.0.1", "req-1")]
    assert await office.store.switches() == []


# --- reading -----------------------------------------------------------------------------------------------

ALERT = Alert(AlertStatus.FIRING, {"alertname": "EtcdDown", "pod": "etcd-0"}, {}, "2026-11-20T11:59:00Z", "")
TARGET = ObjectRef(POD, "etcd-0", "shop", "uid-1")


async def with_a_run(store: MemoryStore) -> None:
    """A run that was held, with a diagnosis, a plan and a step in its journal."""
    await store.file(Delivery(NOW, b"{}", "am", (Candidate("run-a", "etcd-collapse", "rev1", ALERT),)))
    (run,) = [entry.run for entry in await store.claim(1)]
    step = Step(1, "kubernetes.delete_pod", TARGET, {"a": 1}, Effect.IDEMPOTENT, HOUR, "why", (Change("p", "x", "y"),))
    evidence = Evidence("etcd.removed", "is it removed?", Answer.YES, "seen")
    run = replace(
        run,
        target=TARGET,
        diagnosis=Diagnosis(DiagnosisResult.CONFIRMED, Reason.CONFIRMED, "sum", (evidence,)),
        plan=Plan("etcd-collapse", "rev1", TARGET, "replace it", (step,)),
        state=RunState.RUNNING,
    )
    run = await store.save(run, Trace(NOW, "pending", RunEvent.ALLOWED, "running", "confirmed", "go"))
    record = StepRecord("run-a", 1, 1, step.verb, step.effect, StepState.INTENT, {"uid": "u"}, NOW, NOW + HOUR)
    await store.intend(run, record)


async def test_a_run_is_shown_whole(office: Office) -> None:
    """Evidence, plan, steps and history in one answer; the list has the same run in short."""
    await with_a_run(office.store)
    status, run = await office.get("/api/v1/runs/run-a")
    _, listed = await office.get("/api/v1/runs?state=running,held&rule=etcd-collapse&limit=5")

    assert status == 200
    assert (run["id"], run["state"], run["alertname"], run["target"]) == (
        "run-a",
        "running",
        "EtcdDown",
        "Pod shop/etcd-0",
    )
    assert [e["probe"] for e in run["diagnosis"]["evidence"]] == ["etcd.removed"]
    assert (run["plan"]["steps"][0]["changes"], len(run["plan"]["digest"])) == (
        [{"path": "p", "before": "x", "after": "y"}],
        64,
    )
    assert [(s["verb"], s["state"], s["intent"]) for s in run["steps"]] == [
        ("kubernetes.delete_pod", "intent", {"uid": "u"})
    ]
    assert run["traces"][-1] == {
        "at": "2026-11-20T12:00:00+00:00",
        "before": "pending",
        "event": "allowed",
        "after": "running",
        "reason": "confirmed",
        "detail": "go",
    }
    assert listed == {"runs": [{key: run[key] for key in listed["runs"][0]}]}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("state=runing", "there is no state 'runing'"),
        ("limit=0", "limit must be a number from 1 to 1000"),
        ("limit=1001", "limit must be a number from 1 to 1000"),
        ("limit=٣", "limit must be a number from 1 to 1000"),
        ("status=held", "there is no parameter 'status'"),
    ],
)
async def test_a_query_that_is_not_understood_is_refused(office: Office, query: str, words: str) -> None:
    """Never answered with all runs instead."""
    status, said = await office.get(f"/api/v1/runs?{query}")
    assert (status, words in said["error"]) == (400, True)


async def test_an_unknown_run_is_404(office: Office) -> None:
    """And says which one is unknown."""
    assert await office.get("/api/v1/runs/run-x") == (
        404,
        {"error": "there is no run 'run-x'", "correlation_id": "req-1"},
    )


async def test_rules_say_whether_they_are_armed(office: Office) -> None:
    """Each rule with its system, mode, limits and source; armed is the store's word about this very revision."""
    await office.store.throw(Switch("arm:etcd-collapse", True, "ada", "tested", NOW, "rev1"))
    _, said = await office.get("/api/v1/rules")
    assert {rule["name"]: rule["armed"] for rule in said["rules"]} == {
        "etcd-member-removed": False,
        "etcd-collapse": True,
    }
    assert said["rules"][0] == {
        "name": "etcd-member-removed",
        "system": "etcd",
        "mode": "auto",
        "armed": False,
        "armed_revision": None,
        "remedy": "replace",
        "matchers": ['alertname="EtcdDown"'],
        "namespaces": ["shop"],
        "limits": {
            "per_rule": {"count": 3, "window_seconds": 3600.0},
            "per_target": {"count": 1, "window_seconds": 3600.0},
            "cooldown_seconds": 1800.0,
        },
        "runbook": "https://example.invalid/etcd",
        "revision": "rev1",
        "source": "rules/etcd.yaml:1",
    }


# --- changing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "on"),
    [
        ("/api/v1/freeze", "freeze", True),
        ("/api/v1/unfreeze", "freeze", False),
        ("/api/v1/rules/etcd-collapse/arm", "arm:etcd-collapse", True),
        ("/api/v1/rules/etcd-collapse/disarm", "arm:etcd-collapse", False),
    ],
)
async def test_a_switch_is_thrown_and_recorded(office: Office, path: str, name: str, on: bool) -> None:
    """The answer is the record: who, when and why."""
    switch = {"name": name, "on": on, "at": "2026-11-20T12:00:00+00:00", **WHO}
    switch |= {"revision": "rev1"} if path.endswith("/arm") else {}
    assert await office.post(path, WHO) == (200, switch)
    brakes = [{"by": brake.name, "state": "released", "why": ""} for brake in office.brakes]
    frozen = name == "freeze" and on
    assert await office.get("/api/v1/switches") == (200, {"frozen": frozen, "switches": [switch], "brakes": brakes})


async def test_arming_is_what_the_store_asks_for(office: Office) -> None:
    """The switches have the names that the store itself reads when a run wants to start."""
    await with_a_run(office.store)
    (run,) = [await office.store.get("run-a")]
    assert run is not None
    await office.post("/api/v1/rules/etcd-collapse/arm", WHO)
    await office.post("/api/v1/freeze", WHO)
    limit = Limit(1, HOUR)
    usage = await office.store.usage(StartRequest(run, TARGET.key, "data", limit, limit, limit, limit))
    assert (usage.armed, usage.armed_revision, usage.frozen) == (True, "rev1", True)


@pytest.mark.parametrize("verb", ["arm", "disarm"])
async def test_an_unknown_rule_cannot_be_armed(office: Office, verb: str) -> None:
    """A slip of the pen is answered with the nearest rule, and nothing is recorded."""
    status, said = await office.post(f"/api/v1/rules/etcd-colapse/{verb}", WHO)
    assert (status, said["error"]) == (404, "there is no rule 'etcd-colapse'; did you mean etcd-collapse?")
    assert await office.store.switches() == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"by": "ada"},
        {"why": "x"},
        {"by": "", "why": "x"},
        {"by": "ada", "why": "  "},
        {"by": "ada", "why": None},
        {"by": ["ada"], "why": "x"},
        {"by": "ada", "why": "a\nb"},
        {"by": "ada\x1b[31m", "why": "x"},
        {"by": "ada", "why": "a\u2028b"},
        {"by": "a" * 201, "why": "x"},
        {"by": "ada", "why": "x" * 2001},
        {"by": "ada", "why": "x", "force": True},
    ],
)
async def test_a_change_needs_a_name_and_a_reason(office: Office, body: Any) -> None:
    """Both, in one line each, and nothing else; otherwise nothing changes."""
    status, said = await office.post("/api/v1/freeze", body)
    assert (status, sorted(said)) == (400, ["correlation_id", "error"])
    assert await office.store.switches() == []


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b" " * 65_537, 413)])
async def test_a_body_that_is_none_is_refused(office: Office, body: bytes, status: int) -> None:
    """Bounded, and never a 5xx."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with office.client.post("/api/v1/freeze", data=body, headers=headers) as answer:
        assert (answer.status, sorted(await answer.json())) == (status, ["correlation_id", "error"])
    assert await office.store.switches() == []


async def test_a_store_that_is_closed_is_503(office: Office) -> None:
    """A change that was not recorded is not answered as done."""
    await office.store.close()
    with pytest.raises(StoreUnavailable):
        await office.store.switches()
    status, said = await office.post("/api/v1/rules/etcd-collapse/arm", WHO)
    assert (status, said["error"]) == (503, "the store cannot promise anything just now")


async def test_a_freeze_that_the_store_cannot_take_says_what_else_freezes(office: Office) -> None:
    """It is not to be relied on, and the file and the signal need no store."""
    await office.store.close()
    status, said = await office.post("/api/v1/freeze", WHO)
    assert (status, said["error"]) == (
        503,
        (
            "the store cannot promise anything just now, so do not rely on this freeze; "
            "make the freeze file or send SIGUSR1 instead, which need no store"
        ),
    )


# --- brakes and revisions ----------------------------------------------------------------------------------


async def test_what_a_brake_holds_is_not_unfrozen(office: Office) -> None:
    """The answer names each that still holds it and how it lets go, and nothing changes."""
    await office.post("/api/v1/freeze", WHO)
    for brake in office.brakes:
        brake.engage("storage migration")

    status, said = await office.post("/api/v1/unfreeze", WHO)

    let_go = "(storage migration): let go of the brake of the test"
    assert (status, said["error"]) == (
        409,
        (
            "nothing was changed, because the freeze is still held by "
            f"file FREEZE {let_go}; configmap ops/freeze {let_go}; then unfreeze"
        ),
    )
    assert [switch.on for switch in await office.store.switches()] == [True]


async def test_what_was_let_go_before_the_store_had_it_is_not_unfrozen_either(office: Office) -> None:
    """Its record comes first, so that the unfreeze is the later one."""
    office.brakes[0].engage("rack 7")
    await office.get("/api/v1/switches")
    office.brakes[0].release()

    status, said = await office.post("/api/v1/unfreeze", WHO)

    assert (status, "file FREEZE (rack 7): wait until the store has the record" in said["error"]) == (409, True)
    assert await office.store.switches() == []


async def test_nobody_unfreezes_what_nobody_can_read(office: Office) -> None:
    """A ConfigMap that cannot be read may still say freeze."""
    office.brakes[1].hide("no answer within 1 s")

    status, said = await office.post("/api/v1/unfreeze", WHO)

    assert (status, said["error"]) == (
        503,
        (
            "nothing was changed, because nobody can tell what still says freeze: "
            "configmap ops/freeze: no answer within 1 s"
        ),
    )
    assert await office.store.switches() == []


async def test_the_brakes_are_shown_with_who_and_why(office: Office) -> None:
    """Looked at for this answer; one that is engaged is a freeze, whatever the switch says."""
    office.brakes[0].engage("rack 7")
    office.brakes[1].hide("no answer within 1 s")

    assert await office.get("/api/v1/switches") == (
        200,
        {
            "frozen": True,
            "switches": [],
            "brakes": [
                {"by": "file FREEZE", "state": "engaged", "why": "rack 7"},
                {"by": "configmap ops/freeze", "state": "unreadable", "why": "no answer within 1 s"},
            ],
        },
    )


async def test_a_rule_armed_at_another_revision_is_shown_as_not_armed(office: Office) -> None:
    """With the revision that was."""
    await office.store.throw(Switch("arm:etcd-collapse", True, "ada", "tested", NOW, "rev0"))
    _, said = await office.get("/api/v1/rules")
    assert [(r["armed"], r["armed_revision"], r["revision"]) for r in said["rules"][1:]] == [(False, "rev0", "rev1")]


async def test_a_rule_that_is_not_loaded_can_be_disarmed(office: Office) -> None:
    """So that it does not come back armed."""
    await office.store.throw(Switch("arm:gone", True, "ada", "tested", NOW, "rev0"))
    status, said = await office.post("/api/v1/rules/gone/disarm", WHO)
    assert (status, said["name"], said["on"]) == (200, "arm:gone", False)
    assert (await office.post("/api/v1/rules/gone/arm", WHO))[0] == 404


# --- manners -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/rules", 200), ("GET", "/nowhere", 404), ("DELETE", "/api/v1/rules", 405), ("GET", "/", 404)],
)
async def test_every_answer_has_the_security_headers(office: Office, method: str, path: str, status: int) -> None:
    """None names the software, and a refusal is JSON with a correlation id."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with office.client.request(method, path, headers=headers, allow_redirects=False) as answer:
        said = await answer.json()
        assert (answer.status, answer.headers.get("Server")) == (status, None)
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert ("correlation_id" in said) == (status != 200)


@pytest.fixture
async def operations(aiohttp_client: Callable[..., Awaitable[Any]], free_port: int) -> Any:
    reasons = [""]

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text="remediator_frozen 0\n")

    app = web.Application()
    app.add_routes(operations_routes(lambda: reasons[0], metrics))
    return await aiohttp_client(TestServer(app, port=free_port)), reasons


async def test_readiness_is_the_applications_word(operations: Any) -> None:
    """Ready or the reason why not; being alive is another question."""
    client, reasons = operations
    ready = await client.get("/readyz")
    reasons[0] = "the store is not open"
    not_ready, alive = await client.get("/readyz"), await client.get("/healthz")
    assert [(a.status, await a.json()) for a in (ready, not_ready, alive)] == [
        (200, {"ready": True, "reason": ""}),
        (503, {"ready": False, "reason": "the store is not open"}),
        (200, {"alive": True}),
    ]


async def test_metrics_are_the_handler_that_was_given(operations: Any) -> None:
    """The room knows the path and nothing of the metrics."""
    client, _ = operations
    answer = await client.get("/metrics")
    assert (answer.status, await answer.text()) == (200, "remediator_frozen 0\n")


# --- telling a run -----------------------------------------------------------------------------------------


async def waiting_run(office: Office) -> tuple[str, str]:
    """A run that waits for an answer, and the digest of its plan."""
    alert = Alert(AlertStatus.FIRING, {"alertname": "EtcdDown"}, {}, "2026-11-20T11:00:00Z", "")
    await office.store.file(Delivery(NOW, b"{}", "am", (Candidate("run-1", "heal", "rev1", alert),)))
    run = await office.store.get("run-1")
    assert run is not None
    step = Step(0, "pod.delete", TARGET, {}, Effect.DESTRUCTIVE, HOUR, "it is stuck")
    plan = Plan("heal", "rev1", TARGET, "delete it", (step,))
    await office.store.save(replace(run, state=RunState.AWAITING_APPROVAL, plan=plan, due_at=NOW + HOUR))
    return run.id, plan.digest


@pytest.mark.parametrize("name", ["approve", "deny"])
async def test_an_answer_is_stored_with_who_and_why_and_for_which_plan(office: Office, name: str) -> None:
    """The run is due at once, and its page tells what it was told."""
    run_id, digest = await waiting_run(office)

    status, told = await office.post(f"/api/v1/runs/{run_id}/{name}", {**WHO, "plan": digest})

    signal = {"run": run_id, "name": name, "plan": digest, **WHO, "at": NOW.isoformat()}
    assert (status, told) == (200, {**signal, "is_yours": True})
    assert (await office.get(f"/api/v1/runs/{run_id}"))[1]["signals"] == [signal]
    assert [entry.run.id for entry in await office.store.claim(1)] == [run_id]


async def test_the_second_answer_hears_of_the_first(office: Office) -> None:
    """Who was faster is named; nothing is changed."""
    run_id, digest = await waiting_run(office)
    await office.post(f"/api/v1/runs/{run_id}/approve", {**WHO, "plan": digest})

    status, told = await office.post(f"/api/v1/runs/{run_id}/approve", {"by": "bob", "why": "me too", "plan": digest})

    assert (status, told["by"], told["is_yours"]) == (200, "ada", False)


async def test_a_yes_after_a_no_is_refused_and_a_no_after_a_yes_is_kept(office: Office) -> None:
    """Deny wins for as long as nothing has begun."""
    run_id, digest = await waiting_run(office)
    path = f"/api/v1/runs/{run_id}"

    first, _ = await office.post(f"{path}/approve", {**WHO, "plan": digest})
    second, _ = await office.post(f"{path}/deny", {**WHO, "by": "bob", "plan": digest})
    third, told = await office.post(f"{path}/approve", {**WHO, "by": "eve", "plan": digest})

    assert (first, second, third) == (200, 200, 409)
    assert told["error"] == "bob has denied this plan: maintenance of rack 7"


async def test_an_answer_to_another_plan_is_refused(office: Office) -> None:
    """Who answers must have read the plan that is there."""
    run_id, digest = await waiting_run(office)

    status, told = await office.post(f"/api/v1/runs/{run_id}/approve", {**WHO, "plan": "0" * 64})

    assert status == 409
    assert digest in told["error"]
    assert await office.store.signals(run_id) == ()


async def test_only_a_run_that_waits_is_answered_and_only_a_live_one_cancelled(office: Office) -> None:
    """A run in another state does not wait; one that has ended can no longer be told anything."""
    run_id, digest = await waiting_run(office)
    run = await office.store.get(run_id)
    assert run is not None
    await office.store.save(replace(run, state=RunState.PENDING))
    approved, why = await office.post(f"/api/v1/runs/{run_id}/approve", {**WHO, "plan": digest})
    cancelled, told = await office.post(f"/api/v1/runs/{run_id}/cancel", WHO)
    run = await office.store.get(run_id)
    assert run is not None
    await office.store.save(replace(run, state=RunState.CANCELLED))
    late, _ = await office.post(f"/api/v1/runs/{run_id}/cancel", {**WHO, "by": "bob"})
    unknown, _ = await office.post("/api/v1/runs/run-9/cancel", WHO)

    assert (approved, cancelled, late, unknown) == (409, 200, 409, 404)
    assert "does not wait for an answer" in why["error"]
    assert (told["name"], told["plan"], told["is_yours"]) == ("cancel", "", True)


@pytest.mark.parametrize("body", [WHO, {**WHO, "plan": ""}, {**WHO, "plan": "x" * 65}, {**WHO, "plan": 7}])
async def test_an_answer_must_name_the_plan(office: Office, body: Any) -> None:
    """A yes to nothing in particular is no yes."""
    run_id, _ = await waiting_run(office)

    status, _ = await office.post(f"/api/v1/runs/{run_id}/approve", body)

    assert status == 400
    assert await office.store.signals(run_id) == ()


# --- the audit trail ---------------------------------------------------------------------------------------


async def test_the_trail_is_handed_out_exactly_as_stored(office: Office) -> None:
    """From the record after the one named on, with the head, so that anybody can verify it."""
    for n in range(5):
        await office.store.throw(Switch("freeze", bool(n % 2), "ada", f"drill {n} \ud800", NOW))
    stored = [vars(record) for record in await office.store.audit(0, 10)]
    head = {"seq": 5, "hash": stored[4]["hash"]}

    assert await office.get("/api/v1/audit") == (200, {"records": stored, "head": head})
    assert await office.get("/api/v1/audit?after=3") == (200, {"records": stored[3:], "head": head})
    assert await office.get("/api/v1/audit?after=1&limit=2") == (200, {"records": stored[1:3], "head": head})
    assert await office.get("/api/v1/audit?after=9223372036854775807") == (200, {"records": [], "head": head})


async def test_a_trail_without_records_has_no_head(office: Office) -> None:
    """As it is before anything was done."""
    assert await office.get("/api/v1/audit") == (200, {"records": [], "head": None})


async def test_a_page_of_the_trail_is_as_long_as_an_answer_may_be(office: Office) -> None:
    """Records of storms are large: the answer breaks off, and asking on gives every record once."""
    for n in range(200):
        await office.store.note(AuditNote(AuditKind.RULES, {"n": n, "rules": "x" * 30_000}))

    seen: list[int] = []
    pages = 0
    while True:
        _, said = await office.get(f"/api/v1/audit?after={seen[-1] if seen else 0}")
        if not said["records"]:
            break
        seen += [record["seq"] for record in said["records"]]
        pages += 1
        assert sum(len(record["body"]) for record in said["records"]) < 3_000_000

    assert (seen, pages) == (list(range(1, 201)), 4)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("after=-1", "after must be a number from 0 to 9223372036854775807"),
        ("after=9223372036854775808", "after must be a number from 0 to 9223372036854775807"),
        ("after=x", "after must be"),
        ("limit=0", "limit must be a number from 1 to 1000"),
        ("limit=1001", "limit must be"),
        ("before=3", "there is no parameter 'before'; there are after and limit"),
    ],
)
async def test_a_page_that_is_not_understood_is_refused(office: Office, query: str, words: str) -> None:
    """Never answered with another page instead."""
    status, said = await office.get(f"/api/v1/audit?{query}")
    assert (status, words in said["error"]) == (400, True)
