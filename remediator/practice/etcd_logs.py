"""
What etcd says in its log, as zap JSON lines of 3.5. In: a moment and fields. Out: one line.

Only lines that a diagnosis may look for are here; each has the real message and the real field names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from remediator.practice.times import micro_time

REMOVED = "the member has been permanently removed from the cluster"


def line(moment: datetime, level: str, caller: str, message: str, **fields: Any) -> str:
    said = {"level": level, "ts": micro_time(moment), "caller": caller, "msg": message}
    said |= {name.replace("_", "-"): value for name, value in fields.items()}
    return json.dumps(said, separators=(",", ":"))


def initialized(moment: datetime, data_dir: str) -> str:
    text = "server has been already initialized"
    return line(moment, "info", "etcdmain/etcd.go:116", text, data_dir=data_dir, dir_type="member")


def restarting(moment: datetime, cluster: int, member: int, index: int) -> str:
    fields = {"cluster_id": f"{cluster:x}", "local_member_id": f"{member:x}", "commit_index": index}
    return line(moment, "info", "etcdserver/raft.go:540", "restarting local member", **fields)


def starting(moment: datetime, cluster: int, member: int) -> str:
    fields = {"cluster_id": f"{cluster:x}", "local_member_id": f"{member:x}"}
    return line(moment, "info", "etcdserver/raft.go:495", "starting local member", **fields)


def ready(moment: datetime) -> str:
    return line(moment, "info", "embed/serve.go:98", "ready to serve client requests")


def removed(moment: datetime, cluster: int, member: int, urls: Sequence[str]) -> list[str]:
    """The last words of a member that learns that it was removed."""
    who = {"cluster_id": f"{cluster:x}", "local_member_id": f"{member:x}"}
    gone = {"removed_remote_peer_id": f"{member:x}", "removed_remote_peer_urls": list(urls)}
    return [
        line(moment, "warn", "etcdserver/server.go:1154", "server error", error=REMOVED),
        line(moment, "warn", "etcdserver/server.go:1155", "data-dir used by this member must be removed"),
        line(moment, "info", "membership/cluster.go:472", "removed member", **who, **gone),
    ]


def rejected(moment: datetime, local: int, remote: int) -> str:
    """What a peer says about a removed member that knocks."""
    return line(
        moment,
        "warn",
        "rafthttp/http.go:394",
        "rejected stream from remote peer because it was removed",
        local_member_id=f"{local:x}",
        remote_peer_id_stream_handler=f"{local:x}",
        remote_peer_id_from=f"{remote:x}",
    )


def discovery_failed(moment: datetime, error: str) -> str:
    return line(moment, "fatal", "etcdmain/etcd.go:204", "discovery failed", error=error)
