"""
What a life is told: its settings, and two rules of which one frees a mill by itself and the other asks a person first.

In: folders and ports. Out: plain values and files. A run may be in hand of many lives that vanish.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.kills.mill import NAMESPACE


def write_rules(folder: Path) -> None:
    folder.mkdir()
    for name, mode, alertname in (("free", "auto", "MillStuck"), ("free-if-asked", "approve", "MillAsks")):
        rule = {
            "name": name,
            "system": "mill",
            "mode": mode,
            "match": [f'alertname="{alertname}"'],
            "where": {"namespaces": [NAMESPACE]},
            "remedy": {"name": "free"},
            "limits": {"per_rule": "9999 per 1h", "per_target": "10 per 1h"},
            "cooldown": "1m",
            "verify": {"within": "3s", "steady_for": "1s", "every": "1s"},
        }
        (folder / f"{name}.yaml").write_text(json.dumps(rule))


def settings_of(
    state: Path, folder: Path, *, ports: tuple[int, int], kube_port: int, approval: float = 600, tries: int = 1000
) -> dict[str, Any]:
    token = str(folder / "token")
    return {
        "rules": [str(folder / "rules")],
        "state_directory": str(state),
        "listen": {"host": "127.0.0.1", "port": ports[0]},
        "operations": {"host": "127.0.0.1", "port": ports[1]},
        "webhook": {"auth": {"bearer_files": [token]}},
        "operators": {"token_files": [token]},
        "kubernetes": {"server": f"http://127.0.0.1:{kube_port}", "token_file": token, "pods_on_loopback": True},
        "limits": {"per_service": {"count": 10_000}, "per_namespace": {"count": 10_000}},
        "workers": {"tries": tries},
        "held_recheck_seconds": 0.1,
        "approval_seconds": approval,
        "delivery_retention_days": 1e-6,
    }
