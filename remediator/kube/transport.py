"""
One HTTP exchange with the API server, over the Kubernetes library's configuration, credentials, TLS and pool.

In: a request with its deadline. Out: a whole answer, or NoAnswer. Never retries, never follows a redirect, never
reads a body without a bound, and takes no proxy and no password from the environment or a netrc file.
Loading this module loads the heavy library; nothing else in the room does.
"""

from __future__ import annotations

import asyncio
import contextvars
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient

from remediator.kube.access import KubeAccess
from remediator.kube.credentials import Credential, configure
from remediator.kube.exchange import LARGEST_REFUSAL, Answer, Call, NoAnswer, Stream
from remediator.model.errors import ConfigError
from remediator.model.seams import Clock

CONNECT_SECONDS = 5.0

MAY_LEAVE: contextvars.ContextVar[Callable[[], None]] = contextvars.ContextVar("may_leave", default=lambda: None)
"""Set for one exchange, in this module alone: aiohttp has no other way to hand something to the moment of sending."""


class _TimelyRequest(aiohttp.ClientRequest):
    """Asks once more when the connection is there: waiting for one, or a frozen process, may have used up the time."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        MAY_LEAVE.get()()
        return await super().send(conn)


class Transport:
    """The open door to one API server. Close it."""

    def __init__(self, api: ApiClient, credential: Credential, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._credential = credential
        self._host = str(api.configuration.host).rstrip("/")
        pool = api.rest_client
        self._extra: dict[str, Any] = {
            "proxy": pool.proxy,
            "proxy_headers": pool.proxy_headers,
            "server_hostname": pool.server_hostname,
        }
        # The library's own session reads ~/.netrc in a thread for every request and keeps cookies; only its
        # connector, with its TLS, is shared.
        self._session = aiohttp.ClientSession(
            connector=pool.pool_manager.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_TimelyRequest,
        )
        # Otherwise aiohttp sends a DELETE a second time when the connection is lost under the first.
        self._session._retry_connection = False  # noqa: SLF001 - there is no public way to say it

    @classmethod
    async def open(cls, access: KubeAccess, clock: Clock) -> Transport:
        """Read the configuration and make the pool; sends nothing. Raises ConfigError."""
        configuration, credential = await configure(access, clock)
        try:
            return cls(ApiClient(configuration), credential, clock)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the certificates for {configuration.host} cannot be used: {error}") from error

    async def close(self) -> None:
        await self._session.close()
        await self._api.close()

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        """Send once and read the whole answer, all within `seconds`."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))
        with _told_apart():
            headers = await self._headers(call.content_type if call.body is not None else "", seconds)
            MAY_LEAVE.set(lambda: self._refuse_late(call))
            async with self._session.request(
                call.method,
                self._host + call.target,
                data=call.body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                **self._extra,
            ) as response:
                body = await _read(response, call.max_bytes, cut=call.cut)
                return Answer(response.status, body, _lower(response.headers))

    def _refuse_late(self, call: Call) -> None:
        if not self._clock.monotonic() < call.leave_by:
            raise NoAnswer("the time in which it may be sent was over before it could be", sent=False)

    @asynccontextmanager
    async def stream(self, target: str, *, seconds: float, idle: float) -> AsyncIterator[Stream]:
        """Send a GET and hand out its body as it comes; `idle` seconds without a byte end it with NoAnswer."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, idle), sock_read=idle)
        with _told_apart():
            headers = await self._headers("", idle)
            MAY_LEAVE.set(lambda: None)
            async with self._session.get(
                self._host + target, headers=headers, timeout=timeout, allow_redirects=False, **self._extra
            ) as response:
                is_good = 200 <= response.status < 300
                body = b"" if is_good else await _read(response, LARGEST_REFUSAL, cut=True)
                yield Stream(Answer(response.status, body, _lower(response.headers)), _chunks(response))

    async def _headers(self, content_type: str, seconds: float) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "remediator"}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            async with asyncio.timeout(seconds):
                authorization = await self._credential()
        except TimeoutError as error:
            raise NoAnswer(f"no credential within {seconds:g} s", sent=False) from error
        if authorization:
            headers["Authorization"] = authorization
        return headers


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _told_apart():
        async for chunk in response.content.iter_any():
            yield chunk


async def _read(response: aiohttp.ClientResponse, max_bytes: int, *, cut: bool) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            if cut:
                return bytes(body[:max_bytes])
            raise NoAnswer(f"the answer is longer than {max_bytes} bytes", sent=True)
    return bytes(body)


@contextmanager
def _told_apart() -> Iterator[None]:
    """Every way in which the network fails, as NoAnswer; it says whether anything can have left."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise NoAnswer(f"no connection ({_named(error)})", sent=False) from error
    except TimeoutError as error:
        raise NoAnswer("no whole answer in time", sent=True) from error
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswer(f"the connection was lost ({_named(error)})", sent=True) from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
