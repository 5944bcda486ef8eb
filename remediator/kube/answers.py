"""
What an answer of the API server means for the one who asked.

In: an answer, what was being done, and whether it was a write. Out: JSON, or one of the house's errors that
names the object. A read that failed unclearly is Temporary; a write that did is AnswerLost, because it may have
been applied. Never quotes a body that is not the API server's own, and never a credential.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from remediator.kube.exchange import Answer, Asked, NoAnswer
from remediator.model.errors import AnswerLost, Conflict, Forbidden, NotFound, Permanent, RemoteError, Temporary

MESSAGE_LIMIT = 300
LONGEST_WAIT = 60.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+|\beyJ[\w-]+\.[\w.-]+")
_NOT_SERVED = ("404 page not found", "the server could not find the requested resource")


def plain(text: str) -> str:
    """One line without control characters or credentials."""
    return _CREDENTIAL.sub("[credential]", _CONTROL.sub(" ", text)).strip()


def bounded(text: str) -> str:
    line = plain(text)
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def unclear(asked: Asked, why: str, *, after: float = 1.0) -> RemoteError:
    """Nobody knows what came of it: worth asking again if it was a read, worth looking if it was a write."""
    if asked.writes:
        return AnswerLost(bounded(f"{asked.doing}: {why}; it may have been applied, look before going on"))
    return Temporary(bounded(f"{asked.doing}: {why}"), after=after)


def unanswered(asked: Asked, lost: NoAnswer) -> RemoteError:
    if not lost.sent:
        return Temporary(bounded(f"{asked.doing}: {lost}; nothing was sent"))
    return unclear(asked, str(lost))


def json_of(asked: Asked, answer: Answer) -> Mapping[str, Any]:
    """The JSON object of a good answer. Raises for any other answer."""
    if not answer.is_good:
        raise refusal(asked, answer)
    parsed = _parse(answer.body)
    if not isinstance(parsed, dict):
        raise unclear(asked, f"the answer {answer.status} is not a JSON object")
    return parsed


def refusal(asked: Asked, answer: Answer) -> RemoteError:
    """The error that an answer other than 2xx stands for."""
    status, said = answer.status, _status_message(answer)
    words = f"{asked.doing}: answered {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        return Permanent(bounded(f"{words}, a redirect, which is never followed; correct the server's address"))
    if status == 404:
        return _absence(asked, answer, words)
    if status == 409:
        return Conflict(bounded(words))
    if status == 401:
        # refused before anything was applied; the token file is read again for the next request
        return Temporary(bounded(f"{words}; is the service's token still valid?"), after=5.0)
    if status == 403:
        return Forbidden(bounded(words))
    if status == 429:
        return Temporary(bounded(words), after=retry_after(answer))
    if status in (408, 410) or status >= 500 or status < 200:
        return unclear(asked, f"answered {status}" + (f": {said}" if said else ""), after=retry_after(answer))
    return Permanent(bounded(words))


def _absence(asked: Asked, answer: Answer, words: str) -> RemoteError:
    """
    404, told apart: an absent object, a type that is not served, or somebody else's page.

    Only the API server's own word makes an object absent: a proxy's 404 proves nothing about it.
    """
    said = _status_message(answer)
    text = answer.body[:200].decode("utf-8", "replace").strip()
    if said and not said.startswith(_NOT_SERVED):
        return NotFound(bounded(words))
    if said or text.startswith(_NOT_SERVED):
        return Permanent(bounded(f"{asked.doing}: the API server does not serve this type; is its CRD installed?"))
    return unclear(asked, "answered 404, but not by the API server")


def retry_after(answer: Answer) -> float:
    """The seconds the server asked for, between 1 and 60."""
    said = answer.headers.get("retry-after", "").strip()
    wanted = float(said[:9]) if said.isascii() and said.isdigit() else 1.0
    return min(max(wanted, 1.0), LONGEST_WAIT)


def _status_message(answer: Answer) -> str:
    """The message of the API server's own Status object; "" for anything else."""
    parsed = _parse(answer.body)
    if not isinstance(parsed, dict) or parsed.get("kind") != "Status":
        return ""
    return plain(str(parsed.get("message") or parsed.get("reason") or "no message"))


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode())  # JSON is UTF-8, and to be told so spares it a guess
    except (ValueError, RecursionError):
        return None
