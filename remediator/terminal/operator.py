"""
Ask a running service, as an operator: one request, one answer, with the token from its file.

Raises OperatorError with the service's own words, or with what to check when nobody answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from remediator.model.errors import ConfigError, RemediatorError

SECONDS = 10.0


class OperatorError(RemediatorError):
    """The service said no, or nothing."""


class Operator:
    def __init__(self, url: str, token_file: Path) -> None:
        self._url = url.rstrip("/")
        self._token_file = token_file

    async def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        return await self._ask("GET", path, params=list(query))

    async def post(self, path: str, body: dict[str, str]) -> Any:
        return await self._ask("POST", path, json=body)

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token()}"}
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.request(method, self._url + path, allow_redirects=False, **request) as response,
            ):
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OperatorError(
                f"{self._url} does not answer as Remediator does ({error or type(error).__name__}); "
                "is the service running, and is --url its listen address?"
            ) from error
        if response.status >= 400:
            said = answer.get("error", "") if isinstance(answer, dict) else ""
            raise OperatorError(f"{method} {path}: {response.status}: {said}")
        return answer

    def _token(self) -> str:
        try:
            return self._token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._token_file}: the operator's token cannot be read: {error}") from error


def caveat(answer: Any) -> str:
    """What a reader must know before an answer, in words; \"\" for nothing."""
    told = answer.get("history_only") if isinstance(answer, dict) else None
    return f"history only, {told['unreadable']} rows cannot be read: {told['why']}" if told else ""
