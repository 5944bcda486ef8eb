"""
Where the API server is and who we are, through the Kubernetes library.

In: KubeAccess. Out: the library's configuration, and a way to ask for the Authorization header of one request.
A token is read again from its file for every request and stripped of its newline; a kubeconfig (and its exec
plugin) once a minute. A secret is only ever given to the one who sends it: no error and no log has it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import incluster_config, kube_config
from kubernetes_asyncio.config.config_exception import ConfigException

from remediator.kube.access import KubeAccess
from remediator.kube.exchange import NoAnswer
from remediator.model.errors import ConfigError
from remediator.model.seams import Clock

Credential = Callable[[], Awaitable[str]]
"""The value of the Authorization header now; "" for none. Raises NoAnswer."""

KUBECONFIG_SECONDS = 60.0
_NOT_YAML: type[Exception] = kube_config.yaml.YAMLError  # type: ignore[attr-defined] # the loader's own parser's
_UNREADABLE = (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""What the library raises for a kubeconfig it cannot use: it checks little, so a wrong type shows as a TypeError."""


async def configure(access: KubeAccess, clock: Clock) -> tuple[Configuration, Credential]:
    """Raises ConfigError."""
    if access.server:
        return _plain_server(access), _TokenFile(access.token_file) if access.token_file else _nobody
    if access.in_cluster:
        return _in_cluster(), _TokenFile(incluster_config.SERVICE_TOKEN_FILENAME)
    credential = _Kubeconfig(access, clock)
    try:
        return await credential.load(), credential
    except _NOT_YAML:
        # Not chained: the parser's message quotes the file, and the file has secrets.
        raise ConfigError(f"kubeconfig {_where(access)} is not YAML; correct the file") from None
    except _UNREADABLE as error:
        raise ConfigError(f"kubeconfig {_where(access)} cannot be used: {_brief(error)}") from error


async def _nobody() -> str:
    return ""


def _plain_server(access: KubeAccess) -> Configuration:
    if not access.server.startswith(("http://", "https://")):
        raise ConfigError(f"cluster server {access.server!r} must begin with https:// or http://")
    configuration = Configuration(host=access.server.rstrip("/"))
    configuration.ssl_ca_cert = access.ca_file or None
    return configuration


def _in_cluster() -> Configuration:
    configuration = Configuration()
    try:
        incluster_config.InClusterConfigLoader(
            incluster_config.SERVICE_TOKEN_FILENAME, incluster_config.SERVICE_CERT_FILENAME, try_refresh_token=False
        ).load_and_set(configuration)
    except (ConfigException, OSError) as error:
        raise ConfigError(f"this is no pod with a service account: {_brief(error)}") from error
    return configuration


class _TokenFile:
    def __init__(self, path: str) -> None:
        self._path = Path(path)

    async def __call__(self) -> str:
        # Some hundred bytes in memory: cheaper read here than handed to a thread.
        return f"Bearer {self._token()}"

    def _token(self) -> str:
        try:
            token = self._path.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise NoAnswer(f"the token file {self._path} cannot be read ({type(error).__name__})", sent=False) from None
        if not token.isprintable() or not token or " " in token:
            raise NoAnswer(f"the token file {self._path} holds no token", sent=False)
        return token


class _Kubeconfig:
    """The kubeconfig's credential, loaded again when a minute has passed. The old one is never used for longer."""

    def __init__(self, access: KubeAccess, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._value = ""
        self._good_until = 0.0

    async def load(self) -> Configuration:
        configuration = Configuration()
        await kube_config.load_kube_config(
            config_file=self._access.kubeconfig or None,
            context=self._access.context or None,
            client_configuration=configuration,
            persist_config=False,
        )
        self._value = str(configuration.api_key.get("BearerToken") or "").strip()
        self._good_until = self._clock.monotonic() + KUBECONFIG_SECONDS
        return configuration

    async def __call__(self) -> str:
        if self._clock.monotonic() >= self._good_until:
            try:
                await self.load()
            except _NOT_YAML:
                raise NoAnswer(f"kubeconfig {_where(self._access)} is not YAML now", sent=False) from None
            except _UNREADABLE as error:
                raise NoAnswer(f"kubeconfig {_where(self._access)} cannot be used now", sent=False) from error
        return self._value


def _where(access: KubeAccess) -> str:
    return access.kubeconfig or "(default)"


def _brief(error: Exception) -> str:
    message = str(error)[:200] if isinstance(error, ConfigException | OSError) else "its content is not as expected"
    return f"{type(error).__name__}: {message}"
