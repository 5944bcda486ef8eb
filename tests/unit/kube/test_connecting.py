"""How a client finds its cluster, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.kube import KubeAccess, KubeClient
from remediator.model.errors import ConfigError, Temporary
from tests.fakes.fake_clock import FakeClock
from tests.fakes.scripted_cluster import LIVE, REF
from tests.fakes.scripted_server import Say, ScriptedServer


def kubeconfig(path: Path, server: str, token: str) -> None:
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "practice",
        "contexts": [{"name": "practice", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(said))


async def test_a_kubeconfig_is_read_and_read_again(tmp_path: Path) -> None:
    """Its server and token are used, and after a minute a changed token is."""
    clock = FakeClock()
    path = tmp_path / "config"
    async with ScriptedServer() as server:
        server.will(*[Say(200, LIVE)] * 3)
        kubeconfig(path, server.url, "one")
        client = await KubeClient.connect(KubeAccess(kubeconfig=str(path)), clock=clock, tell=lambda _: None)
        await client.view().get(REF)
        kubeconfig(path, server.url, "two")
        await client.view().get(REF)
        clock.advance(60)
        await client.view().get(REF)
        path.write_text("users: [")
        clock.advance(60)
        with pytest.raises(Temporary, match="not YAML now; nothing was sent"):
            await client.view().get(REF)
        await client.close()

    assert [r.headers["authorization"] for r in server.requests] == ["Bearer one", "Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    "content", ["", "[]", "users: [canary-secret", "a: 1", "contexts: 5\nclusters: 6\nusers: 7\ncurrent-context: a"]
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str) -> None:
    """The error names the file and quotes nothing of it."""
    path = tmp_path / "config"
    path.write_text(content)

    with pytest.raises(ConfigError, match=str(path)) as caught:
        await KubeClient.connect(KubeAccess(kubeconfig=str(path)), clock=FakeClock(), tell=lambda _: None)

    assert "canary-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "access",
    [
        KubeAccess(kubeconfig="/nowhere/config"),
        KubeAccess(in_cluster=True),
        KubeAccess(server="127.0.0.1:6443"),
        KubeAccess(server="https://127.0.0.1:6443", ca_file="/nowhere/ca.crt"),
    ],
)
async def test_what_cannot_be_connected_is_a_config_error(access: KubeAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, no pod, no scheme, no certificate: the operator edits a setting."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ConfigError):
        await KubeClient.connect(access, clock=FakeClock(), tell=lambda _: None)


@pytest.mark.parametrize(
    "settings",
    [
        {"in_cluster": True, "server": "http://a"},
        {"server": "http://a", "kubeconfig": "b"},
        {"token_file": "a"},
        {"ca_file": "a"},
        {"request_timeout": 0},
        {"request_timeout": float("nan")},
        {"request_timeout": float("inf")},
    ],
)
def test_access_names_one_way_and_a_deadline(settings: dict[str, Any]) -> None:
    """Two clusters at once, a token for none, or no deadline: refused when the value is made."""
    with pytest.raises(ConfigError):
        KubeAccess(**settings)
