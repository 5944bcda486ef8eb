"""
A run on one page of plain text: what was seen, what is planned, what was done, and what it came to.

In: the JSON of the API, so that the page of a finished run and that of a rehearsal are the same. Fits 80 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remediator.terminal.paint import Paint
from remediator.terminal.tables import terminal_width

STATES = {"succeeded": "good", "refused": "unsure", "cancelled": "dim", "escalated": "bad"}


def whole_run(run: Mapping[str, Any], paint: Paint | None = None, width: int | None = None) -> str:
    """The page, without a trailing newline."""
    return "\n".join(_page(run, paint or Paint(False), min(width or terminal_width(), 100)))


def _page(run: Mapping[str, Any], paint: Paint, width: int) -> Iterator[str]:
    yield from _head(run, paint, width)
    if run.get("diagnosis"):
        yield from ["", paint("Evidence", "head"), *evidence_lines(run["diagnosis"]["evidence"], paint, width)]
    if run.get("plan"):
        yield from ["", paint("Plan", "head"), *plan_lines(run["plan"], paint, width)]
    if run.get("steps"):
        yield from ["", paint("Journal", "head"), *_journal(run["steps"], paint, width)]
    if run.get("signals"):
        yield from ["", paint("Told", "head"), *_told(run["signals"], width)]
    if run.get("traces"):
        yield from ["", paint("History", "head"), *_history(run["traces"], width)]


def _head(run: Mapping[str, Any], paint: Paint, width: int) -> Iterator[str]:
    state = paint(run["state"], STATES.get(run["state"], "bold"))
    yield f"{paint(run['id'], 'bold')}  {state}  {run['reason'] or ''}".rstrip()
    firing = f"{run['alertname']}, firing since {run.get('starts_at', '')}"
    yield from wrap(run["rule"], width, "  rule    ", "          ")
    yield from wrap(firing, width, "  alert   ", "          ")
    yield from wrap(run["target"] or "not found", width, "  target  ", "          ")
    if run["detail"]:
        yield from wrap(run["detail"], width, "  result  ", "          ")
    if run.get("resolved_at"):
        yield f"  alert resolved at {run['resolved_at'][:19]}"


def evidence_lines(evidence: Sequence[Mapping[str, str]], paint: Paint, width: int) -> Iterator[str]:
    """The proofs with what was seen; look-alikes that are excluded share a line."""
    excluded = []
    for piece in evidence:
        wanted = "no" if piece["weight"] == "lookalike" else "yes"
        speaks = piece["answer"] == wanted
        if speaks and piece["weight"] == "lookalike":
            excluded.append(piece["probe"])
            continue
        mark = paint.evidence(piece["answer"], speaks=speaks)
        yield f"  {mark} {piece['question']}"
        yield from wrap(piece["seen"], width, "      ", "      ")
    if excluded:
        yield f"  {paint('✓', 'good')} Is it anything that looks like this?"
        yield from wrap("no: " + ", ".join(excluded), width, "      ", "      ")


def plan_lines(plan: Mapping[str, Any], paint: Paint, width: int) -> Iterator[str]:
    yield from wrap(plan["summary"], width, "  ", "  ")
    for line in plan["arithmetic"]:
        yield from wrap(line, width, "    Σ ", "      ")
    for step in plan["steps"]:
        yield from step_lines(step, paint, width)
    if plan.get("digest"):
        yield f"  {paint('digest ' + plan['digest'][:16], 'dim')}"


def step_lines(step: Mapping[str, Any], paint: Paint, width: int) -> Iterator[str]:
    target = step["target"]
    where = "/".join(p for p in (target["namespace"], target["name"]) if p)
    effect = {"destructive": paint("destroys", "bad"), "idempotent": paint("writes", "unsure")}.get(step["effect"], "")
    yield f"  {step['seq'] + 1:>2}. {paint(step['verb'], 'bold')}  {effect}".rstrip()
    yield from wrap(f"on {target['resource']['kind']} {where}", width, "      ", "      ")
    yield from wrap(step["why"], width, "      ", "      ")
    for change in step["changes"]:
        yield from marked(paint("-", "bad"), f"{change['path']}: {change['before']}", width, "      ")
        yield from marked(paint("+", "good"), f"{change['path']}: {change['after']}", width, "      ")


def _journal(steps: Sequence[Mapping[str, Any]], paint: Paint, width: int) -> Iterator[str]:
    colours = {"done": "good", "failed": "bad", "not_applied": "unsure", "intent": "unsure"}
    for step in steps:
        state = paint(step["state"], colours.get(step["state"], "dim"))
        seen = "  (seen by a probe)" if step["by_probe"] else ""
        yield f"  {step['started_at'][11:19]}  {step['seq'] + 1:>2}. {step['verb']}  {state}{seen}"
        if step["detail"]:
            yield from wrap(step["detail"], width, "              ", "              ")


def _told(signals: Sequence[Mapping[str, str]], width: int) -> Iterator[str]:
    for signal in signals:
        said = f"{signal['name']} by {signal['by']}: {signal['why']}"
        yield from wrap(said, width, f"  {signal['at'][11:19]}  ", "            ")


def _history(traces: Sequence[Mapping[str, str]], width: int) -> Iterator[str]:
    """The moves of the run; waiting that repeats itself is one line with a count."""
    shown: list[tuple[str, str, int]] = []
    for trace in traces:
        if trace["event"] == "due":
            continue
        text = f"{trace['after']}  {trace['reason']}  {trace['detail']}".rstrip()
        if shown and shown[-1][1] == text:
            shown[-1] = (shown[-1][0], text, shown[-1][2] + 1)
        else:
            shown.append((trace["at"][11:19], text, 1))
    for at, text, count in shown:
        yield from wrap(text + (f"  (×{count})" if count > 1 else ""), width, f"  {at}  ", "            ")


def marked(mark: str, text: str, width: int, indent: str) -> Iterator[str]:
    """A mark and wrapped text beside it; the mark's colour takes no room."""
    first, *rest = wrap(text, width, indent + "  ", indent + "  ")
    yield f"{indent}{mark} {first[len(indent) + 2 :]}"
    yield from rest


def wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    clean = "".join(c if c.isprintable() else " " for c in text)
    lines = textwrap.wrap(clean, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return lines or [first.rstrip()]
