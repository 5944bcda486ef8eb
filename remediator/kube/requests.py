"""
Ask the API server one thing, within a deadline, and tell that it was asked.

In: what is asked and a call. Out: an answer to judge, or Temporary or AnswerLost where none came. Never retries.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from remediator.kube.access import KubeAsked
from remediator.kube.answers import json_of, unanswered
from remediator.kube.exchange import Answer, Asked, Call, NoAnswer, Stream
from remediator.model.seams import Clock

if TYPE_CHECKING:
    from remediator.kube.transport import Transport

Tell = Callable[[KubeAsked], None]
NO_ANSWER = "no_answer"


class Requests:
    """Every request of this room goes through here."""

    def __init__(self, transport: Transport, *, clock: Clock, tell: Tell, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self._transport = transport
        self.tell = tell

    async def answer(self, asked: Asked, call: Call, *, seconds: float | None = None) -> Answer:
        """Any whole answer. A deadline of None is the usual one: there is no request without."""
        began, code = self.clock.monotonic(), NO_ANSWER
        try:
            answer = await self._transport.exchange(call, seconds=seconds or self.seconds)
            code = str(answer.status)
        except NoAnswer as lost:
            raise unanswered(asked, lost) from lost
        else:
            return answer
        finally:
            self._told(asked, code, began)

    async def json(self, asked: Asked, call: Call) -> Mapping[str, Any]:
        """The JSON object of a good answer; anything else raises."""
        return json_of(asked, await self.answer(asked, call))

    @asynccontextmanager
    async def stream(self, asked: Asked, target: str, *, seconds: float, idle: float) -> AsyncIterator[Stream]:
        """A read whose answer arrives bit by bit."""
        began, code = self.clock.monotonic(), NO_ANSWER
        try:
            async with self._transport.stream(target, seconds=seconds, idle=idle) as stream:
                code = str(stream.answer.status)
                yield stream
        except NoAnswer as lost:
            raise unanswered(asked, lost) from lost
        finally:
            self._told(asked, code, began)

    async def close(self) -> None:
        await self._transport.close()

    def _told(self, asked: Asked, code: str, began: float) -> None:
        self.tell(KubeAsked(asked.verb, asked.plural, code, self.clock.monotonic() - began))


def with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def as_body(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
