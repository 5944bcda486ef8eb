"""
Every setting of the service, as one frozen object.

In: a YAML file and an environment, both handed in. Out: `Settings`, or a ConfigError that lists every problem at
once. Secrets are not settings: only the paths of their files are. Nothing is read from anywhere else.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from remediator.credentials import Credentials
from remediator.model.errors import ConfigError
from remediator.model.objects import is_object_name

PREFIX = "REMEDIATOR_"
DOWNWARD = {"POD_NAMESPACE": "namespace", "POD_NAME": "pod_name", "NODE_NAME": "node"}
"""What the pod's manifest says about the pod itself, under `own`."""
ALWAYS_PROTECTED = ("kube-*", "openshift-*")
MEBIBYTE = 1024 * 1024

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]


def _names_an_object(text: str) -> str:
    parts = text.split("/")
    if text and (len(parts) > 2 or not all(is_object_name(part) for part in parts)):
        raise ValueError("must be `namespace/name`, or `name` for one beside the service itself")
    return text


ConfigMapName = Annotated[str, AfterValidator(_names_an_object)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Listen(Section):
    """Where the webhook and the API answer."""

    host: str = "0.0.0.0"  # noqa: S104 - in a pod there is no other interface to choose
    port: Port = 9095


class Operations(Section):
    """Where health and metrics answer; never the same port as the webhook."""

    host: str = "0.0.0.0"  # noqa: S104 - in a pod there is no other interface to choose
    port: Port = 9096


class Basic(Section):
    username: str = ""
    password_files: Annotated[tuple[Path, ...], Field(max_length=2)] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Basic:
        if bool(self.username) != bool(self.password_files):
            raise ValueError("username and password_files go together; set both or neither")
        if ":" in self.username:
            raise ValueError("username cannot have a colon in it")
        return self


class WebhookAuth(Section):
    """What Alertmanager must present. Two files are both valid, for rotation."""

    bearer_files: Annotated[tuple[Path, ...], Field(max_length=2)] = ()
    basic: Basic = Basic()

    @model_validator(mode="after")
    def _is_shut(self) -> WebhookAuth:
        if not self.bearer_files and not self.basic.password_files:
            raise ValueError(
                "the webhook would be open to anybody; set webhook.auth.bearer_files, "
                "or webhook.auth.basic.username and webhook.auth.basic.password_files"
            )
        return self

    def credentials(self) -> Credentials:
        return Credentials.from_files(
            self.bearer_files, username=self.basic.username, passwords=self.basic.password_files
        )


class Webhook(Section):
    auth: WebhookAuth
    max_body_bytes: Annotated[int, Field(ge=1024, le=1024 * MEBIBYTE)] = 32 * MEBIBYTE
    max_buffered_bytes: Annotated[int, Field(ge=1024)] = 64 * MEBIBYTE
    """All bodies together that are read and not yet answered."""
    max_requests: Annotated[int, Field(ge=1)] = 64
    """Requests in hand at once; one more is told to come again."""
    max_connections: Annotated[int, Field(ge=1)] = 2048
    header_timeout_seconds: Seconds = 5
    body_timeout_seconds: Seconds = 10
    answer_timeout_seconds: Seconds = 2

    @model_validator(mode="after")
    def _one_body_fits(self) -> Webhook:
        if self.max_buffered_bytes < self.max_body_bytes:
            raise ValueError("max_buffered_bytes is less than max_body_bytes, so the largest body never fits")
        return self


class Operators(Section):
    """Who may use the API. Without a token nobody may."""

    token_files: tuple[Path, ...] = ()

    def credentials(self) -> Credentials:
        return Credentials.from_files(self.token_files)


class Kubernetes(Section):
    """How the API server is reached: in_cluster, or a kubeconfig, or a server with a token."""

    kubeconfig: Path | None = None
    context: str = ""
    in_cluster: bool = False
    server: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    request_timeout_seconds: Annotated[float, Field(gt=0, le=15, allow_inf_nan=False)] = 10
    pods_on_loopback: bool = False
    """Only for a practice cluster, whose pods answer on 127.x; on a real one such an address is never asked."""

    @model_validator(mode="after")
    def _is_one_way(self) -> Kubernetes:
        ways = {"kubeconfig": self.kubeconfig, "in_cluster": self.in_cluster, "server": self.server}
        chosen = [name for name, value in ways.items() if value]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} exclude each other; keep one")
        if self.context and not self.kubeconfig:
            raise ValueError("context is a context of a kubeconfig; set kubeconfig too")
        if (self.token_file or self.ca_file) and not self.server:
            raise ValueError("token_file and ca_file belong to server; set server too")
        return self


class Own(Section):
    """Where this service itself runs, so that it never harms what keeps it alive."""

    namespace: str = ""
    pod_name: str = ""
    node: str = ""


class Freeze(Section):
    """Ways to freeze that do not need the store."""

    file: Path | None = None
    config_map: ConfigMapName = ""


class Witness(Section):
    """Who remembers, outside the volume of the journal, how far the journal had come."""

    config_map: ConfigMapName = ""


class Window(Section):
    """At most `count` started runs, of all rules together, in any window of this length."""

    count: Annotated[int, Field(ge=1)] = 10
    window_seconds: Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)] = 3600


class Limits(Section):
    per_namespace: Window = Window(count=5)
    per_service: Window = Window()


class Workers(Section):
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    tries: Annotated[int, Field(ge=1, le=1000)] = 3
    """Processes that may vanish with one run in hand before a person is told instead."""


class Postgres(Section):
    """A database for the journal, which several replicas may share."""

    url: str
    password_file: Path | None = None
    lease_seconds: Annotated[float, Field(ge=5, le=60, allow_inf_nan=False)] = 8
    """How long a run stays with a replica that is no longer heard of."""
    allow_async: bool = False
    """Whether standbys are acceptable that may lack what was acknowledged."""

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ValueError("give it as postgresql://user@host:5432/database")
        if parts.password or "password" in parse_qs(parts.query):
            raise ValueError("a password is no setting; put it into a file and name that as password_file")
        return url

    def problems(self) -> list[str]:
        """What is wrong with the file of the password."""
        if self.password_file is None:
            return []
        try:
            is_empty = not self.password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            return [f"{self.password_file} cannot be read: {problem}"]
        return [f"{self.password_file} is empty"] if is_empty else []


class Store(Section):
    """Where the journal is: in the state directory, unless there is a database."""

    postgres: Postgres | None = None


class Log(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """The whole of it. `docs/reference/settings.md` says what each one is for."""

    rules: Annotated[tuple[Path, ...], Field(min_length=1)]
    state_directory: Path
    webhook: Webhook
    backup_directory: Path | None = None
    listen: Listen = Listen()
    operations: Operations = Operations()
    operators: Operators = Operators()
    kubernetes: Kubernetes = Kubernetes()
    protected_namespaces: tuple[str, ...] = ALWAYS_PROTECTED
    own: Own = Own()
    freeze: Freeze = Freeze()
    witness: Witness = Witness()
    limits: Limits = Limits()
    workers: Workers = Workers()
    store: Store = Store()
    evidence_max_age_seconds: Seconds = 5
    permit_seconds: Seconds = 1.5
    """A freeze by one replica's file is in the shared store within a quarter of a second: all stop within two."""
    held_recheck_seconds: Seconds = 30
    approval_seconds: Annotated[float, Field(gt=0, le=7 * 86400, allow_inf_nan=False)] = 3600
    """How long a person's answer is waited for."""
    delivery_retention_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 7
    run_retention_days: Annotated[float, Field(ge=7, le=3650, allow_inf_nan=False)] = 90
    """How long runs that have ended are kept; then they are written to `archive` and forgotten."""
    events: bool = True
    log: Log = Log()

    @field_validator("protected_namespaces")
    @classmethod
    def _keep_the_platform(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """A list in a file adds to the platform's namespaces and never takes one away."""
        return tuple(dict.fromkeys((*ALWAYS_PROTECTED, *patterns)))

    @model_validator(mode="after")
    def _has_two_ports(self) -> Settings:
        if self.listen.port == self.operations.port != 0:
            raise ValueError("listen.port and operations.port are the same; give each its own")
        return self

    @model_validator(mode="after")
    def _finds_its_config_maps(self) -> Settings:
        for section in ("freeze", "witness"):
            name = getattr(self, section).config_map
            if name and not self._config_map(name):
                raise ValueError(
                    f"{section}.config_map names no namespace, and own.namespace is not set; write namespace/name"
                )
        return self

    @property
    def freeze_file(self) -> Path:
        return self.freeze.file or self.state_directory / "FREEZE"

    @property
    def freeze_config_map(self) -> tuple[str, str] | None:
        """Its namespace and name; None: there is none."""
        return self._config_map(self.freeze.config_map)

    @property
    def witness_config_map(self) -> tuple[str, str] | None:
        return self._config_map(self.witness.config_map)

    def _config_map(self, text: str) -> tuple[str, str] | None:
        namespace, _, name = text.rpartition("/")
        namespace = namespace or self.own.namespace
        return (namespace, name) if namespace and name else None


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings; the environment overrides the file. Raises ConfigError with every problem, a line each."""
    problems: list[str] = []
    given = _read_file(path) if path else {}
    _overlay(given, environ, problems)
    _put(given, ["webhook", "auth"], {}, unless_set=True)  # so that an open webhook is named like any mistake
    settings = None
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [_explain(detail) for detail in error.errors(include_url=False, include_input=False)]
    if settings is not None:
        problems += _secret_problems(settings)
    if settings is None or problems:
        raise ConfigError("\n".join(["the settings are wrong:", *(f"  {problem}" for problem in problems)]))
    return settings


def _secret_problems(settings: Settings) -> list[str]:
    webhook, operators = settings.webhook.auth.credentials(), settings.operators.credentials()
    problems = [f"webhook.auth: {problem}" for problem in webhook.problems()]
    problems += [f"operators.token_files: {problem}" for problem in operators.problems()]
    postgres = settings.store.postgres
    return problems + [
        f"store.postgres.password_file: {problem}" for problem in (postgres.problems() if postgres else ())
    ]


# --- the file ----------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML's plain values; a key that is there twice is an error, not a choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is set twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = _Loader(path.read_text("utf-8")).get_single_data()
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path}: is not UTF-8 text") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path}: is not the YAML of settings: {problem}") from problem
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of settings, such as `state_directory: /var/lib/remediator`")
    return content


# --- the environment ---------------------------------------------------------------------------------------


def _overlay(given: dict[str, Any], environ: Mapping[str, str], problems: list[str]) -> None:
    """
    Lay the environment over the file: `REMEDIATOR_WEBHOOK__MAX_BODY_BYTES`, lists as JSON.

    Without `__` only the name of a setting counts: Kubernetes itself sets REMEDIATOR_PORT and its like for a
    Service called remediator, and those are not ours.
    """
    for name, text in sorted(environ.items()):
        if name in DOWNWARD:
            _put(given, ["own", DOWNWARD[name]], text, unless_set=True)
        elif name.startswith(PREFIX):
            keys = name.removeprefix(PREFIX).lower().split("__")
            is_ours = len(keys) > 1 or keys[0] in Settings.model_fields
            if is_ours and not _put(given, keys, _value(text)):
                problems.append(f"{name}: there is no section {'.'.join(keys[:-1])} to set {keys[-1]} in")


def _put(given: dict[str, Any], keys: list[str], value: Any, *, unless_set: bool = False) -> bool:
    """Whether there was a section to put it in."""
    *sections, last = keys
    here = given
    for section in sections:
        inner = here.get(section)
        here[section] = inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            return False
        here = inner
    if not (unless_set and last in here):
        here[last] = value
    return True


def _value(text: str) -> Any:
    """Lists and mappings are JSON; everything else is the text itself, which the model turns into its type."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


# --- problems ----------------------------------------------------------------------------------------------


def _explain(detail: Mapping[str, Any]) -> str:
    """One problem as `section.key: what is wrong`, with the nearest known key."""
    loc = tuple(detail["loc"])
    where = ".".join(str(part) for part in loc) or "settings"
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), _known(loc[:-1]), n=1)
        return f"{where}: there is no such setting" + (f'; did you mean "{near[0]}"?' if near else "")
    if detail["type"] == "missing":
        return f"{where}: must be set"
    return f"{where}: {str(detail['msg']).removeprefix('Value error, ')}"


def _known(loc: tuple[Any, ...]) -> list[str]:
    """The keys of the section at `loc`."""
    section: type[BaseModel] = Settings
    for part in loc:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)
