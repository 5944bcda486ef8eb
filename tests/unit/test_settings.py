"""The settings from a file and an environment, and the secrets they point to."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from remediator.credentials import Credentials, Entry, Secret, SecretFile
from remediator.model.errors import ConfigError
from remediator.settings import Settings, load

LONG = "0123456789abcdef0123456789abcdef"
LEAST = """
rules: [/etc/remediator/rules]
state_directory: /var/lib/remediator
webhook:
  auth:
    bearer_files: [TOKEN]
"""


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(LONG + "\n")
    return path


@pytest.fixture
def file(tmp_path: Path, token: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(LEAST.replace("TOKEN", str(token)))
    return path


def add(file: Path, text: str) -> Path:
    file.write_text(file.read_text() + text)
    return file


def problems(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(path, environ or {})
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


# --- the file ----------------------------------------------------------------------------------------------


def test_the_least_file_gives_the_defaults(file: Path, token: Path) -> None:
    """Three settings are enough; the rest is what the reference says."""
    settings = load(file, {})
    assert settings.model_dump(mode="json") == {
        "rules": ["/etc/remediator/rules"],
        "state_directory": "/var/lib/remediator",
        "backup_directory": None,
        "listen": {"host": "0.0.0.0", "port": 9095},
        "operations": {"host": "0.0.0.0", "port": 9096},
        "webhook": {
            "auth": {"bearer_files": [str(token)], "basic": {"username": "", "password_files": []}},
            "max_body_bytes": 33554432,
            "max_buffered_bytes": 67108864,
            "max_requests": 64,
            "max_connections": 2048,
            "header_timeout_seconds": 5.0,
            "body_timeout_seconds": 10.0,
            "answer_timeout_seconds": 2.0,
        },
        "operators": {"token_files": []},
        "kubernetes": {
            "kubeconfig": None,
            "context": "",
            "in_cluster": False,
            "server": "",
            "token_file": None,
            "ca_file": None,
            "request_timeout_seconds": 10.0,
            "pods_on_loopback": False,
        },
        "protected_namespaces": ["kube-*", "openshift-*"],
        "own": {"namespace": "", "pod_name": "", "node": ""},
        "freeze": {"file": None, "config_map": ""},
        "witness": {"config_map": ""},
        "limits": {
            "per_namespace": {"count": 5, "window_seconds": 3600.0},
            "per_service": {"count": 10, "window_seconds": 3600.0},
        },
        "workers": {"concurrency": 16, "tries": 3},
        "store": {"postgres": None},
        "evidence_max_age_seconds": 5.0,
        "permit_seconds": 1.5,
        "held_recheck_seconds": 30.0,
        "approval_seconds": 3600.0,
        "delivery_retention_days": 7.0,
        "run_retention_days": 90.0,
        "events": True,
        "log": {"format": "json", "level": "info"},
    }


def test_settings_cannot_be_changed(file: Path) -> None:
    """One frozen object: what was checked at the start is what holds."""
    with pytest.raises(ValueError, match="frozen"):
        load(file, {}).webhook.__setattr__("max_body_bytes", 1)


def test_every_problem_is_listed_at_once(file: Path) -> None:
    """Wrong keys come with the nearest right one, wrong values with what was expected."""
    add(file, "listne: {port: 1}\nlisten: {prot: 1, port: 70000}\nworkers: {concurrency: 0}\nlog: {level: loud}\n")
    assert problems(file) == [
        "listen.port: Input should be less than or equal to 65535",
        'listen.prot: there is no such setting; did you mean "port"?',
        "workers.concurrency: Input should be greater than or equal to 1",
        "log.level: Input should be 'debug', 'info', 'warning' or 'error'",
        'listne: there is no such setting; did you mean "listen"?',
    ]


@pytest.mark.parametrize("text", ["", "rules: [r]\nstate_directory: s\n", "rules: [r]\nstate_directory: s\nwebhook:\n"])
def test_an_open_webhook_is_refused(tmp_path: Path, text: str) -> None:
    """Without authentication there is no start, and the message says which keys to set."""
    path = tmp_path / "open.yaml"
    path.write_text(text)
    assert [p for p in problems(path) if "open to anybody" in p] == [
        (
            "webhook.auth: the webhook would be open to anybody; set webhook.auth.bearer_files, "
            "or webhook.auth.basic.username and webhook.auth.basic.password_files"
        )
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("events: true\nevents: false\n", "'events' is set twice"),
        ("a: [\n", "is not the YAML of settings"),
        ("a: !!python/object/apply:os.system [x]\n", "is not the YAML of settings"),
    ],
)
def test_a_file_that_is_not_plain_yaml_is_refused(file: Path, text: str, problem: str) -> None:
    """Neither a key that is there twice nor a tag gets through."""
    with pytest.raises(ConfigError, match=problem):
        load(add(file, text), {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path and the reason are in the message."""
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read: No such file"):
        load(tmp_path / "gone.yaml", {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("operations: {port: 9095}\n", "listen.port and operations.port are the same"),
        ("kubernetes: {in_cluster: true, server: x}\n", "in_cluster and server exclude each other"),
        ("kubernetes: {context: x}\n", "set kubeconfig too"),
        ("kubernetes: {token_file: x}\n", "set server too"),
        ("store: {postgres: {url: 'mysql://u@h/d'}}\n", "postgresql://user@host:5432/database"),
        ("store: {postgres: {url: 'postgresql://u@h'}}\n", "postgresql://user@host:5432/database"),
        ("store: {postgres: {url: 'postgresql://u:p@h/d'}}\n", "a password is no setting"),
        ("store: {postgres: {url: 'postgresql://u@h/d?password=p'}}\n", "a password is no setting"),
        ("store: {postgres: {url: 'postgresql://u@h/d', password_file: /nowhere}}\n", "/nowhere cannot be read"),
        ("permit_seconds: .inf\n", "permit_seconds: "),
        ("permit_seconds: 0\n", "permit_seconds: "),
        ("witness: {config_map: w}\n", "witness.config_map names no namespace, and own.namespace is not set"),
        ("witness: {config_map: Ops/w}\n", "witness.config_map: must be `namespace/name`"),
        ("freeze: {config_map: freeze}\n", "freeze.config_map names no namespace, and own.namespace is not set"),
        ("freeze: {config_map: ops/}\n", "freeze.config_map: must be `namespace/name`"),
        ("freeze: {config_map: a/b/c}\n", "freeze.config_map: must be `namespace/name`"),
        ("freeze: {config_map: Ops/freeze}\n", "freeze.config_map: must be `namespace/name`"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(file: Path, text: str, problem: str) -> None:
    """A setting that would silently not count is a mistake."""
    (found,) = problems(add(file, text))
    assert problem in found


@pytest.mark.parametrize(
    ("text", "path", "config_map"),
    [
        ("", "/var/lib/remediator/FREEZE", None),
        ("freeze: {file: /run/stop}\n", "/run/stop", None),
        ("freeze: {config_map: ops/freeze}\n", "/var/lib/remediator/FREEZE", ("ops", "freeze")),
        ("freeze: {config_map: stop}\nown: {namespace: here}\n", "/var/lib/remediator/FREEZE", ("here", "stop")),
        ("freeze: {config_map: ops/stop}\nown: {namespace: here}\n", "/var/lib/remediator/FREEZE", ("ops", "stop")),
    ],
)
def test_the_brakes_are_where_the_settings_say(
    file: Path, text: str, path: str, config_map: tuple[str, str] | None
) -> None:
    """The file lies beside the journal unless told otherwise; a ConfigMap counts only where one is named."""
    settings = load(add(file, text), {})
    assert (settings.freeze_file, settings.freeze_config_map) == (Path(path), config_map)


def test_a_file_cannot_unprotect_the_platform(file: Path) -> None:
    """A list adds to the namespaces nobody may touch, and takes none away."""
    settings = load(add(file, "protected_namespaces: [payments]\n"), {})
    assert settings.protected_namespaces == ("kube-*", "openshift-*", "payments")


# --- the environment ---------------------------------------------------------------------------------------


def test_the_environment_overrides_the_file(file: Path) -> None:
    """Sections are parted by two underscores, and lists are JSON."""
    settings = load(
        add(file, "workers: {concurrency: 3}\n"),
        {
            "REMEDIATOR_WORKERS__CONCURRENCY": "5",
            "REMEDIATOR_RULES": '["a", "b"]',
            "REMEDIATOR_LIMITS__PER_SERVICE__COUNT": "2",
            "REMEDIATOR_EVENTS": "false",
            "POD_NAMESPACE": "ops",
            "POD_NAME": "remediator-0",
            "NODE_NAME": "n1",
            "REMEDIATOR_OWN__NODE": "n2",
        },
    )
    assert (settings.workers.concurrency, settings.rules, settings.limits.per_service.count, settings.events) == (
        5,
        (Path("a"), Path("b")),
        2,
        False,
    )
    assert settings.own.model_dump() == {"namespace": "ops", "pod_name": "remediator-0", "node": "n2"}


def test_the_environment_alone_is_enough(token: Path) -> None:
    """No file is needed."""
    settings = load(
        None,
        {
            "REMEDIATOR_RULES": '["r"]',
            "REMEDIATOR_STATE_DIRECTORY": "s",
            "REMEDIATOR_WEBHOOK__AUTH__BEARER_FILES": f'["{token}"]',
        },
    )
    assert settings.webhook.auth.bearer_files == (token,)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_not_ours(file: Path) -> None:
    """A Service called remediator puts such variables into every pod of its namespace."""
    environ = {"REMEDIATOR_PORT": "tcp://10.0.0.1:9095", "REMEDIATOR_SERVICE_HOST": "10.0.0.1"}
    assert load(file, environ) == load(file, {})


def test_a_misspelt_variable_is_an_error(file: Path) -> None:
    """What is written like a setting of ours and is none does not pass in silence."""
    assert problems(file, {"REMEDIATOR_WORKERS__CONCURENCY": "5"}) == [
        'workers.concurency: there is no such setting; did you mean "concurrency"?'
    ]
    assert problems(file, {"REMEDIATOR_EVENTS__ON": "5", "REMEDIATOR_EVENTS": "true"}) == [
        "REMEDIATOR_EVENTS__ON: there is no section events to set on in"
    ]


# --- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes, at least 32 are needed"),
        (LONG[1:].encode() + b"\n", "31 bytes, at least 32 are needed"),
        (b"x" * 5000, "longer than 4096 bytes"),
        (None, "cannot be read"),
    ],
)
def test_a_secret_that_cannot_be_used_stops_the_start(
    file: Path, token: Path, content: bytes | None, problem: str
) -> None:
    """The file is named, its content never."""
    token.unlink()
    if content is not None:
        token.write_bytes(content)
    (found,) = problems(file)
    assert found.startswith(f"webhook.auth: {token}: ")
    assert problem in found


def test_a_secret_never_shows_itself() -> None:
    """Neither printed nor formatted nor as part of what holds it."""
    secret = Secret(LONG.encode())
    assert {str(secret), repr(secret), f"{secret}", f"{[secret]}"} == {"Secret(hidden)", "[Secret(hidden)]"}


def test_one_newline_at_the_end_is_not_part_of_a_secret(tmp_path: Path) -> None:
    """Editors add one; whatever else is there counts."""
    path = tmp_path / "s"
    path.write_text(f" {LONG}\n\n")
    secret = SecretFile(path).read()
    assert (secret.is_same(f" {LONG}\n".encode()), secret.is_same(LONG.encode())) == (True, False)


def bearer(value: str) -> list[str]:
    return [f"Bearer {value}"]


def test_two_secrets_are_valid_at_once_and_files_are_read_again(tmp_path: Path) -> None:
    """A secret is rotated by adding, moving and removing, with no restart."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("o" * 40)
    new.write_text("n" * 40)
    credentials = Credentials.from_files([old, new])
    both = [credentials.check(bearer("o" * 40)), credentials.check(bearer("n" * 40))]
    next_one = tmp_path / "next"
    next_one.write_text("m" * 40)
    os.replace(next_one, old)  # noqa: PTH105 - how a mounted secret changes: another file under the same name
    after = [credentials.check(bearer(letter * 40)) for letter in "onm"]
    assert (both, after) == ([Entry.ACCEPTED] * 2, [Entry.REFUSED, Entry.ACCEPTED, Entry.ACCEPTED])


def test_a_secret_that_is_gone_opens_nothing_and_refuses_nobody_for_good(tmp_path: Path) -> None:
    """With one file unreadable its own value is not accepted, the other's is, and the rest is unknown."""
    gone, there = tmp_path / "gone", tmp_path / "there"
    gone.write_text("g" * 40)
    there.write_text("t" * 40)
    credentials = Credentials.from_files([gone, there])
    assert credentials.check(bearer("g" * 40)) is Entry.ACCEPTED
    gone.unlink()
    assert [credentials.check(bearer(letter * 40)) for letter in "gtx"] == [
        Entry.UNKNOWN,
        Entry.ACCEPTED,
        Entry.UNKNOWN,
    ]


@pytest.mark.parametrize("headers", [[], bearer(LONG) * 2, ["Bearer"], ["Bearer  "], [""], ["Basic " + "=" * 8]])
def test_anything_but_one_whole_header_is_refused(token: Path, headers: list[str]) -> None:
    """None, two, or half of one."""
    assert Credentials.from_files([token]).check(headers) is Entry.REFUSED


@pytest.mark.parametrize("presented", [LONG, "", "am"])
def test_without_any_secret_nobody_comes_in(presented: str) -> None:
    """An empty set is never all."""
    basic = base64.b64encode(f":{presented}".encode()).decode()
    assert Credentials().check(bearer(presented)) is Entry.REFUSED
    assert Credentials().check([f"Basic {basic}"]) is Entry.REFUSED


def test_an_accepted_password_needs_its_user(token: Path) -> None:
    """The right password of another user is refused."""
    credentials = Credentials.from_files(username="am", passwords=[token])
    encoded = {name: base64.b64encode(f"{name}:{LONG}".encode()).decode() for name in ("am", "pm", "")}
    assert {name: credentials.check([f"basic {value}"]) for name, value in encoded.items()} == {
        "am": Entry.ACCEPTED,
        "pm": Entry.REFUSED,
        "": Entry.REFUSED,
    }
    assert credentials.challenge == 'Basic realm="remediator", charset="UTF-8"'


def test_the_reference_names_every_setting(root: Path) -> None:
    """No setting goes undocumented."""
    reference = (root / "docs/reference/settings.md").read_text()
    schema = Settings.model_json_schema()
    names = set(schema["properties"]) | {name for part in schema["$defs"].values() for name in part["properties"]}
    assert {name for name in names if f"`{name}`" not in reference and f".{name}`" not in reference} == set()
