"""
Read one pod of an etcd StatefulSet from its manifest. Pure: what the API server said in, `PodFacts` out.

Environment is expanded as the kubelet does; a value that comes from elsewhere stays unknown, never empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from remediator.model.errors import Permanent
from remediator.model.objects import CLAIM, POD, Manifest, ObjectRef, is_ready
from remediator.systems.etcd.facts import Death, PodFacts
from remediator.systems.etcd.images import family_of

CONTAINER = "etcd"
STEADY = timedelta(seconds=120)
"""How long a container must have lived since its last death before Ready is believed."""
VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def _node(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _container(pod: Manifest) -> Manifest:
    return next((c for c in pod["spec"].get("containers", ()) if c["name"] == CONTAINER), {})


def _claim_name(pod: Manifest) -> str:
    """The claim of the volume that the etcd container mounts; "" when there is none or more than one."""
    mounted = {m["name"] for m in _container(pod).get("volumeMounts", ())}
    names = [
        str(v["persistentVolumeClaim"]["claimName"])
        for v in pod["spec"].get("volumes", ())
        if v["name"] in mounted and "persistentVolumeClaim" in v
    ]
    return names[0] if len(names) == 1 else ""


def environment(pod: Manifest) -> dict[str, str]:
    """
    The container's variables, `$(NAME)` expanded as the kubelet does; fieldRefs of the pod's name and namespace.

    What comes from elsewhere (a secret, a config map) is not known: it stays `$(NAME)`, here and where it is used.
    """
    values: dict[str, str] = {}
    known = {f"metadata.{key}": str(pod["metadata"][key]) for key in ("name", "namespace")}
    for entry in _container(pod).get("env", ()):
        raw = str(entry.get("value", ""))
        if "valueFrom" in entry:
            source = entry["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
            raw = known.get(source, f"$({entry['name']})")
        values[entry["name"]] = _expanded(raw, values) if "$(" in raw else raw
    return values


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


def _peer_url(pod: Manifest, env: Mapping[str, str]) -> str:
    """Where its peers know this pod: its own advertisement, else its entry in the initial cluster; "" if not known."""
    entries = dict(e.split("=", 1) for e in env.get("ETCD_INITIAL_CLUSTER", "").split(",") if "=" in e)
    said = (env.get("ETCD_INITIAL_ADVERTISE_PEER_URLS", "").partition(",")[0], entries.get(pod["metadata"]["name"], ""))
    return next((url.rstrip("/") for url in said if url and "$(" not in url), "")


def _etcd_state(pod: Manifest) -> Manifest:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return next((s for s in statuses if s["name"] == CONTAINER), {"state": {}})


def pod_facts(pod: Manifest, now: datetime) -> PodFacts:
    container = _container(pod)
    env = environment(pod)
    state = _etcd_state(pod)
    waiting = state["state"].get("waiting", {}).get("reason", "")
    restarts = int(state.get("restartCount", 0))
    namespace, claim = pod["metadata"]["namespace"], _claim_name(pod)
    name = pod["metadata"]["name"]
    return PodFacts(
        ref=ObjectRef.of(POD, pod),
        ordinal=int(name.rpartition("-")[2]),
        address=str(pod.get("status", {}).get("podIP", "")),
        node=_node(pod),
        is_ready=is_ready(pod) and not _died_lately(death_in(pod), now),
        is_running="running" in state["state"],
        is_crash_looping=waiting == "CrashLoopBackOff" or ("terminated" in state["state"] and restarts >= 3),
        restarts=restarts,
        death=death_in(pod),
        has_just_died="terminated" in state["state"],
        peer_url=_peer_url(pod, env),
        family=family_of(
            str(container.get("image", "")),
            env,
            has_prestop=bool(container.get("lifecycle", {}).get("preStop")),
            own_entrypoint=not container.get("command"),
        ),
        state_env=env.get("ETCD_INITIAL_CLUSTER_STATE", ""),
        claim=ObjectRef(CLAIM, claim, namespace) if claim else None,
    )


def _died_lately(death: Death | None, now: datetime) -> bool:
    """A death whose time cannot be read, or lies ahead of our clock, is a late one."""
    if death is None:
        return False
    try:
        ended = datetime.fromisoformat(death.finished_at)
        return now - ended < STEADY
    except (ValueError, TypeError):
        return True


def _death(terminated: Mapping[str, Any]) -> Death:
    return Death(
        int(terminated.get("exitCode", -1)),
        str(terminated.get("reason", "")),
        str(terminated.get("finishedAt", "")),
        str(terminated.get("containerID", "")),
    )


def death_in(pod: Manifest) -> Death | None:
    state = _etcd_state(pod)
    terminated = state["state"].get("terminated") or state.get("lastState", {}).get("terminated")
    return _death(terminated) if terminated else None


def must_be_etcd(owner: Manifest) -> None:
    """Raise Permanent unless the StatefulSet's template runs a container called etcd."""
    containers = owner["spec"]["template"]["spec"].get("containers", ())
    if not any(c["name"] == CONTAINER for c in containers):
        raise Permanent(f"StatefulSet {owner['metadata']['name']} has no container called {CONTAINER}")
