"""Heads of the audit trail, found again where they were told."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from remediator import logs
from remediator.model.ledger import HEAD_TOLD, Head
from remediator.terminal.heads import heads_in, written

HASH = "0123456789abcdef" * 4
HEAD = Head(812, HASH, "fedcba9876543210")


@pytest.fixture(autouse=True)
def no_configuration_is_left() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def line(form: str = "json", **changes: object) -> str:
    """As the service's own log has it."""
    stream = io.StringIO()
    logs.configure(form, "info", stream)
    structlog.get_logger().info(HEAD_TOLD, **{**vars(HEAD), **changes})
    return stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        line(),
        line("console"),
        "2026-11-20T12:00:00.000000000Z stderr F " + line(),
        "Nov 20 12:00:00 node-1 remediator[7]: " + line(),
        json.dumps({"log": line(), "stream": "stderr", "time": "2026-11-20T12:00:00Z"}),
        json.dumps({"MESSAGE": line(), "_PID": "7"}),
        json.dumps({"message": json.dumps({"log": line()})}),
    ],
    ids=["json", "console", "containerd", "journald", "docker", "journald as JSON", "twice wrapped"],
)
def test_a_head_is_found_in_every_form_a_log_comes_in(text: str) -> None:
    """As the service writes it, and as collectors carry it."""
    structlog.reset_defaults()
    assert list(heads_in(["", "something else\n", text])) == [HEAD]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "audit head",
        "{" * 10_000 + "audit head",
        json.dumps({"event": "moved", "detail": line()}),
        json.dumps({"event": "moved", "message": line()}),
        json.dumps({"event": "moved", "detail": f"audit head hash={HASH} journal=0 seq=7"}),
        line(seq=0),
        line(seq="812"),
        line(hash="short"),
        line(hash=HASH.upper()),
        line("console", hash="short"),
        json.dumps([line()]),
    ],
)
def test_what_only_looks_like_a_head_is_none(text: str) -> None:
    """An alert's text may quote a line; a broken line tells nothing."""
    assert list(heads_in([text])) == []


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (f"812:{HASH}", Head(812, HASH)),
        (f" 1:{HASH.upper()}\n", Head(1, HASH)),
        (f"0:{HASH}", None),
        (f"-1:{HASH}", None),
        (f"٣:{HASH}", None),
        (HASH, None),
        ("812:", None),
        (f"812:{HASH}0", None),
        ("", None),
    ],
)
def test_a_head_is_written_as_its_number_and_its_hash(text: str, head: Head | None) -> None:
    """And nothing else is one."""
    assert written(text) == head
