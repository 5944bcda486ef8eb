"""
Notifications as Alertmanager sends them, each alert of them an episode of its own.

In: how many alerts, and which of them the benchmark's rule matches. Out: bodies of bytes, made before any clock runs.
The labels and annotations are those of kube-prometheus' KubePodCrashLooping and KubePodNotReady, about a kilobyte an
alert.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

NAMESPACE = "bench"
EVALUATED_TOGETHER = 7
"""Alerts that one evaluation of one Prometheus rule starts: they have their `startsAt` in common."""


def _alert(number: int, *, is_matched: bool) -> dict[str, Any]:
    pod = f"web-{number:07d}-7c9d"
    name = "BenchMatched" if is_matched else "KubePodCrashLooping"
    return {
        "status": "firing",
        "labels": {
            "alertname": name,
            "cluster": "production-1",
            "container": "web",
            "endpoint": "http",
            "instance": f"10.4.{number % 200}.17:8080",
            "job": "kube-state-metrics",
            "namespace": NAMESPACE,
            "pod": pod,
            "prometheus": "monitoring/k8s",
            "reason": "CrashLoopBackOff",
            "service": "kube-state-metrics",
            "severity": "warning",
        },
        "annotations": {
            "description": f'Pod {NAMESPACE}/{pod} (web) is in waiting state (reason: "CrashLoopBackOff").',
            "runbook_url": "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
            "summary": "Pod is crash looping.",
        },
        "startsAt": f"2026-01-21T01:41:22.{number // EVALUATED_TOGETHER:09d}Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.monitoring/graph?g0.expr=max_over_time%28kube_pod_container_status_waiting"
        "_reason%7Breason%3D%22CrashLoopBackOff%22%7D%5B5m%5D%29+%3E%3D+1&g0.tab=1",
        "fingerprint": f"{number:016x}",
    }


def _notification(alerts: list[dict[str, Any]]) -> bytes:
    told = {
        "receiver": "remediator",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": {"namespace": NAMESPACE},
        "commonLabels": {"namespace": NAMESPACE, "severity": "warning"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.monitoring:9093",
        "version": "4",
        "groupKey": f'{{}}:{{namespace="{NAMESPACE}"}}',
        "truncatedAlerts": 0,
    }
    # As Go's encoder writes it: what HTML could take for its own is escaped.
    return json.dumps(told, separators=(",", ":")).replace("&", "\\u0026").encode()


def notification(number: int, labels: dict[str, str]) -> bytes:
    """One matched alert with these labels besides."""
    alert = _alert(number, is_matched=True)
    return _notification([{**alert, "labels": alert["labels"] | labels}])


def bodies(size: int, share_matched: float, *, first: int = 0) -> Iterator[bytes]:
    """Bodies of `size` alerts without end; of each hundred alerts `share_matched` are matched, evenly spread."""
    number, owed = first, 0.0
    while True:
        alerts = []
        for _ in range(size):
            owed += share_matched
            is_matched = owed >= 1 - 1e-9
            owed -= is_matched
            alerts.append(_alert(number, is_matched=is_matched))
            number += 1
        yield _notification(alerts)
