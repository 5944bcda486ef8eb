"""Configuration alone arms nothing and unfreezes nothing: files come and go, and only a person's record counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator import app
from remediator.model.runs import RunState
from remediator.settings import load
from remediator.terminal.operator import Operator
from tests.fakes.plant import RULE, WHO, planted

SECRET = "a-secret-of-more-than-thirty-two-bytes"
SHIPPED = Path(__file__).parents[2] / "rules" / "etcd" / "member-removed.yaml"


@dataclass
class Site:
    """A folder with settings and rules; each service on it is a process of its own on the same journal."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "token").write_text(SECRET)
        (self.folder / "rules").mkdir()
        self.settings: dict[str, Any] = {
            "rules": [str(self.folder / "rules")],
            "state_directory": str(self.folder / "state"),
            "listen": {"host": "127.0.0.1", "port": 0},
            "operations": {"host": "127.0.0.1", "port": 0},
            "webhook": {"auth": {"bearer_files": [str(self.folder / "token")]}},
            "operators": {"token_files": [str(self.folder / "token")]},
            "kubernetes": {"server": "http://127.0.0.1:9"},
        }
        self.write_rule()

    @property
    def rule(self) -> Path:
        return self.folder / "rules" / "rule.yaml"

    def write_rule(self, **changes: Any) -> None:
        self.rule.write_text(yaml.safe_dump({**yaml.safe_load(SHIPPED.read_text()), "mode": "auto", **changes}))

    async def told(self, *posts: str) -> tuple[bool | None, bool]:
        """The next process: whether the rule is armed there (None: not loaded) and the service frozen."""
        path = self.folder / "remediator.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        async with app.service(load(path, {})) as running:
            operator = Operator(f"http://127.0.0.1:{running.webhook_port}", self.folder / "token")
            for post in posts:
                await operator.post(f"/api/v1/{post}", WHO)
            rules = (await operator.get("/api/v1/rules"))["rules"]
            switches = await operator.get("/api/v1/switches")
        return next((rule["armed"] for rule in rules if rule["name"] == RULE), None), switches["frozen"]


ARM, DISARM = f"rules/{RULE}/arm", f"rules/{RULE}/disarm"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def nothing(site: Site) -> None:
    """A restart."""


def touch(site: Site) -> None:
    site.rule.touch()


def observe_and_back(site: Site) -> None:
    site.write_rule(mode="observe")
    site.write_rule()


def edit(site: Site) -> None:
    site.write_rule(cooldown="1h")


def widen(site: Site) -> None:
    site.write_rule(where={"namespaces": ["milvus", "payments"]})


def rename_file(site: Site) -> None:
    site.rule.rename(site.rule.with_name("other.yaml"))


def older_settings(site: Site) -> None:
    site.settings |= {"protected_namespaces": ["payments"], "permit_seconds": 1, "workers": {"concurrency": 2}}


def other_brakes(site: Site) -> None:
    site.settings |= {"freeze": {"file": str(site.folder / "STOP"), "config_map": ""}}


CHANGES = [nothing, touch, observe_and_back, edit, widen, rename_file, older_settings, other_brakes]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_no_change_of_files_arms_what_was_disarmed(site: Site, change: Callable[[Site], None]) -> None:
    """Disarmed stays disarmed, and what nobody ever armed stays so too."""
    assert await site.told(ARM) == (True, False)
    assert await site.told(DISARM) == (False, False)

    change(site)

    assert await site.told() == (False, False)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_no_change_of_files_unfreezes(site: Site, change: Callable[[Site], None]) -> None:
    """Only a person does."""
    assert await site.told("freeze") == (False, True)

    change(site)

    assert await site.told() == (False, True)
    assert await site.told("unfreeze") == (False, False)


@pytest.mark.parametrize(
    ("change", "armed"),
    [
        (nothing, True),
        (touch, True),
        (observe_and_back, True),
        (rename_file, True),
        (older_settings, True),
        (other_brakes, True),
        (edit, False),
        (widen, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_what_is_armed_is_the_text_that_a_person_armed(
    site: Site, change: Callable[[Site], None], armed: bool
) -> None:
    """Wherever it lies, and until it says something else; armed as it is now it is armed again."""
    await site.told(ARM)

    change(site)

    assert await site.told() == (armed, False)
    assert await site.told(ARM) == (True, False)


async def test_a_rule_that_comes_back_is_what_it_was(site: Site) -> None:
    """Removed and put back it is armed as before, put back with another text it is not, disarmed meanwhile neither."""
    text = site.rule.read_text()
    await site.told(ARM)
    site.rule.unlink()
    (site.folder / "rules" / "other.yaml").write_text(text.replace(RULE, "other"))
    assert await site.told() == (None, False)

    site.write_rule(patience="1h")
    assert await site.told() == (False, False)
    site.rule.write_text(text)
    assert await site.told() == (True, False)

    site.rule.unlink()
    assert await site.told(DISARM) == (None, False)
    site.rule.write_text(text)
    assert await site.told() == (False, False)


async def test_an_alert_under_an_edited_rule_is_refused_at_the_cluster(tmp_path: Path) -> None:
    """The whole way: armed, edited, and not one write although the fault is proven."""
    async with planted(tmp_path) as plant:
        async with plant.service():
            await plant.operator.post(f"/api/v1/{ARM}", WHO)
        (file,) = (tmp_path / "rules").iterdir()
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "cooldown": "31m"}))
        async with plant.service():
            await plant.alert()
            run = await plant.until(lambda run: run.state.is_final)
        assert (run.state, str(run.reason), plant.writes) == (RunState.REFUSED, "disarmed", 0)
        assert "was armed at revision" in run.detail
