"""
etcd's HTTP gateway, in front of a simulated server.

In: a method, a path and a body. Out: a status, headers and a body as etcd 3.5 answers: numbers of 64 bits are decimal
strings, and what is zero or false is left out. It never answers for a server that has stopped.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from remediator.practice.etcd_model import INVALID_ARGUMENT, UNAVAILABLE, EtcdCluster, EtcdRefusal, Member
from remediator.practice.etcd_pods import SimulatedEtcd
from remediator.practice.texts import compact

REQUEST_TIMEOUT = 7.0
"""Five seconds and two elections: how long etcd waits for a leader before it gives up."""
PAGE = 4096
SNAPSHOT_CHUNK = 32 * 1024
HTTP_CODES = {3: 400, 5: 404, 8: 429, 9: 400, 12: 501, 14: 503}

Answer = tuple[int, dict[str, str], bytes]
Body = dict[str, Any]
JSON_TYPE = {"Content-Type": "application/json"}
TEXT_TYPE = {"Content-Type": "text/plain; charset=utf-8"}


async def answer(etcd: SimulatedEtcd, method: str, path: str, body: bytes) -> Answer:
    """One request to one serving member."""
    cluster = etcd.cluster
    if cluster is None:
        return 503, TEXT_TYPE, b"not serving\n"
    route, _, query = path.partition("?")
    if method == "GET" and route in _PLAIN:
        return _PLAIN[route](etcd, cluster, query)
    if route not in _CALLS:
        return 404, TEXT_TYPE, b"404 page not found\n" if not route.startswith("/v3/") else b"Not Found\n"
    if method != "POST":
        return 405, TEXT_TYPE, b"Method Not Allowed\n"
    if etcd.is_learner and route not in _FOR_LEARNERS:
        return _refused(EtcdRefusal(UNAVAILABLE, "etcdserver: rpc not supported for learner"))
    try:
        asked = json.loads(body or b"{}")
        return await _CALLS[route](etcd, cluster, asked)
    except (ValueError, binascii.Error) as error:
        return _refused(EtcdRefusal(INVALID_ARGUMENT, str(error)))
    except EtcdRefusal as refusal:
        return _refused(refusal)


def _refused(refusal: EtcdRefusal) -> Answer:
    said = {"error": refusal.message, "code": refusal.code, "message": refusal.message}
    return HTTP_CODES.get(refusal.code, 500), JSON_TYPE, json.dumps(said).encode()


def _json(found: Body) -> Answer:
    return 200, JSON_TYPE, compact(found).encode()


def _header(etcd: SimulatedEtcd, cluster: EtcdCluster, *, revision: bool = False) -> Body:
    header = {"cluster_id": str(cluster.id), "member_id": str(etcd.member)}
    if revision:
        header["revision"] = str(cluster.revision)
    return {**header, "raft_term": str(cluster.term)}


async def _need_leader(etcd: SimulatedEtcd) -> None:
    """What goes through Raft waits for a leader, and in the end gives up."""
    if not etcd.has_leader:
        await etcd.network.clock.sleep(REQUEST_TIMEOUT)
    if not etcd.has_leader:
        raise EtcdRefusal(UNAVAILABLE, "etcdserver: request timed out")


# --- membership ------------------------------------------------------------------------------------------


def _member(member: Member) -> Body:
    shown: Body = {"ID": str(member.id)}
    if member.name:
        shown["name"] = member.name
    shown["peerURLs"] = list(member.peer_urls)
    if member.client_urls:
        shown["clientURLs"] = list(member.client_urls)
    if member.is_learner:
        shown["isLearner"] = True
    return shown


def _members(cluster: EtcdCluster) -> list[Body]:
    return [_member(cluster.members[i]) for i in sorted(cluster.members)]


async def _list(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    if asked.get("linearizable"):
        await _need_leader(etcd)
    moment = cluster.id, cluster.index, cluster.term
    if etcd.listed is None or etcd.listed[0] != moment:
        listed = _json({"header": _header(etcd, cluster), "members": _members(cluster)})
        etcd.listed = moment, listed
    return etcd.listed[1]


async def _add(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    await _need_leader(etcd)
    clock = etcd.network.clock
    made = cluster.add(
        tuple(asked.get("peerURLs", ())),
        is_learner=bool(asked.get("isLearner")),
        now=clock.monotonic(),
        wall=int(clock.now().timestamp()),
    )
    return _json({"header": _header(etcd, cluster), "member": _member(made), "members": _members(cluster)})


async def _remove(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    await _need_leader(etcd)
    cluster.remove(int(asked.get("ID", 0)), asked_of=etcd.member, now=etcd.network.clock.monotonic())
    return _json({"header": _header(etcd, cluster), "members": _members(cluster)})


async def _promote(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    await _need_leader(etcd)
    cluster.promote(int(asked.get("ID", 0)), etcd.network.clock.monotonic())
    return _json({"header": _header(etcd, cluster), "members": _members(cluster)})


# --- maintenance -----------------------------------------------------------------------------------------


def _database(cluster: EtcdCluster) -> bytes:
    """The keys as a file of whole pages, which is the same for as long as the revision is."""
    if cluster.file[0] == cluster.revision:
        return cluster.file[1]
    rows = {base64.b64encode(k).decode(): [base64.b64encode(e.value).decode(), e.modified] for k, e in _rows(cluster)}
    text = json.dumps({"revision": cluster.revision, "keys": rows}).encode()
    pages = max(-(-len(text) // PAGE), 5)
    cluster.file = cluster.revision, text.ljust(pages * PAGE, b"\0")
    return cluster.file[1]


def _rows(cluster: EtcdCluster) -> list[tuple[bytes, Any]]:
    return sorted(cluster.keys.items())


async def _status(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    size = len(_database(cluster))
    leader = cluster.leader_seen_by(etcd.member)
    applied = str(cluster.applied_by(etcd.member, etcd.network.clock.monotonic()))
    found: Body = {"header": _header(etcd, cluster, revision=True), "version": etcd.version, "dbSize": str(size)}
    if leader:
        found["leader"] = str(leader)
    found |= {"raftIndex": applied, "raftTerm": str(cluster.term), "raftAppliedIndex": applied}
    errors = [] if leader else ["etcdserver: no leader"]
    errors += [f"memberID:{i} alarm:{kind} " for i, kind in sorted(cluster.alarms.items())]
    if errors:
        found["errors"] = errors
    found["dbSizeInUse"] = str(size - PAGE)
    if etcd.is_learner:
        found["isLearner"] = True
    return _json(found)


async def _hash(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    return _json({"header": _header(etcd, cluster, revision=True), "hash": zlib.crc32(_database(cluster))})


async def _alarm(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    if asked.get("action", "GET") == "DEACTIVATE":
        await _need_leader(etcd)
        cluster.alarms.pop(int(asked.get("memberID", 0)), None)
    found: Body = {"header": _header(etcd, cluster)}
    if cluster.alarms:
        found["alarms"] = [{"memberID": str(i), "alarm": kind} for i, kind in sorted(cluster.alarms.items())]
    return _json(found)


async def _snapshot(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    """A stream of JSON lines; the last blob is the SHA-256 of all before it."""
    data = _database(cluster)
    chunks = [data[i : i + SNAPSHOT_CHUNK] for i in range(0, len(data), SNAPSHOT_CHUNK)]
    left = len(data)
    lines: list[str] = []
    for chunk in [*chunks, hashlib.sha256(data).digest()]:
        left = max(left - len(chunk), 0)
        result: Body = {"remaining_bytes": str(left)} if left else {}
        result["blob"] = base64.b64encode(chunk).decode()
        lines.append(json.dumps({"result": result}, separators=(",", ":")) + "\n")
    return 200, JSON_TYPE, "".join(lines).encode()


# --- keys ------------------------------------------------------------------------------------------------


def _bytes(asked: Body, field: str) -> bytes:
    return base64.b64decode(asked.get(field, ""), validate=True)


async def _range(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    if not asked.get("serializable"):
        await _need_leader(etcd)
    keys = cluster.select(_bytes(asked, "key"), _bytes(asked, "range_end"))
    found: Body = {"header": _header(etcd, cluster, revision=True)}
    limit = int(asked.get("limit", 0)) or len(keys)
    if keys and not asked.get("count_only"):
        found["kvs"] = [_entry(cluster, key) for key in keys[:limit]]
    if keys:
        found["count"] = str(len(keys))
    return _json(found)


def _entry(cluster: EtcdCluster, key: bytes) -> Body:
    entry = cluster.keys[key]
    return {
        "key": base64.b64encode(key).decode(),
        "create_revision": str(entry.created),
        "mod_revision": str(entry.modified),
        "version": str(entry.version),
        "value": base64.b64encode(entry.value).decode(),
    }


async def _put(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    await _need_leader(etcd)
    key = _bytes(asked, "key")
    if not key:
        raise EtcdRefusal(INVALID_ARGUMENT, "etcdserver: key is not provided")
    cluster.put(key, _bytes(asked, "value"))
    return _json({"header": _header(etcd, cluster, revision=True)})


async def _delete(etcd: SimulatedEtcd, cluster: EtcdCluster, asked: Body) -> Answer:
    await _need_leader(etcd)
    gone = cluster.delete(cluster.select(_bytes(asked, "key"), _bytes(asked, "range_end")))
    found: Body = {"header": _header(etcd, cluster, revision=True)}
    return _json({**found, "deleted": str(gone)} if gone else found)


# --- what is not a call ----------------------------------------------------------------------------------


def _health(etcd: SimulatedEtcd, cluster: EtcdCluster, query: str) -> Answer:
    why = ""
    if "serializable=true" not in query:
        why = "" if etcd.has_leader else "RAFT NO LEADER"
        why = why or next((f"ALARM {kind}" for kind in cluster.alarms.values()), "")
    said = json.dumps({"health": "false" if why else "true", "reason": why}, separators=(",", ":"))
    return (503 if why else 200), TEXT_TYPE, said.encode()


def _ready(etcd: SimulatedEtcd, cluster: EtcdCluster, query: str) -> Answer:
    return (200, TEXT_TYPE, b"ok\n") if etcd.has_leader else (503, TEXT_TYPE, b"[-]serializable_read ok\n")


def _live(etcd: SimulatedEtcd, cluster: EtcdCluster, query: str) -> Answer:
    return 200, TEXT_TYPE, b"ok\n"


def _version(etcd: SimulatedEtcd, cluster: EtcdCluster, query: str) -> Answer:
    minor = etcd.version.rpartition(".")[0]
    return _json({"etcdserver": etcd.version, "etcdcluster": f"{minor}.0"})


def _metrics(etcd: SimulatedEtcd, cluster: EtcdCluster, query: str) -> Answer:
    leader = cluster.leader_seen_by(etcd.member)
    lines = [
        f"etcd_server_has_leader {int(bool(leader))}",
        f"etcd_server_is_leader {int(leader == etcd.member)}",
        f"etcd_server_is_learner {int(etcd.is_learner)}",
        f'etcd_server_id{{server_id="{etcd.member:x}"}} 1',
        f"etcd_mvcc_db_total_size_in_bytes {len(_database(cluster))}",
        "etcd_server_quota_backend_bytes 2.147483648e+09",
    ]
    text = "".join(f"# TYPE {line.split('{')[0].split()[0]} gauge\n{line}\n" for line in lines)
    return 200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}, text.encode()


_PLAIN: dict[str, Callable[[SimulatedEtcd, EtcdCluster, str], Answer]] = {
    "/health": _health,
    "/livez": _live,
    "/readyz": _ready,
    "/version": _version,
    "/metrics": _metrics,
}
_CALLS: dict[str, Callable[[SimulatedEtcd, EtcdCluster, Body], Awaitable[Answer]]] = {
    "/v3/cluster/member/list": _list,
    "/v3/cluster/member/add": _add,
    "/v3/cluster/member/remove": _remove,
    "/v3/cluster/member/promote": _promote,
    "/v3/maintenance/status": _status,
    "/v3/maintenance/hash": _hash,
    "/v3/maintenance/alarm": _alarm,
    "/v3/maintenance/snapshot": _snapshot,
    "/v3/kv/range": _range,
    "/v3/kv/put": _put,
    "/v3/kv/deleterange": _delete,
}
_FOR_LEARNERS = frozenset({"/v3/maintenance/status", "/v3/maintenance/alarm"})
