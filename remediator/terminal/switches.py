"""
Switches and brakes as rows for a person: what it is, how it stands, who did it and why.

In: the API's answer. Out: rows of a table, what holds all writes first. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STANDS = {"engaged": "frozen", "released": "free", "unreadable": "unreadable"}
SHOWN = 12
"""Digits of a revision, for people."""


def switch_rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [_row(switch) for switch in answer["switches"]]
    brakes = [{"what": b["by"], "stands": STANDS[b["state"]], "why": b["why"]} for b in answer["brakes"]]
    return [row for row in rows if row["what"] == "freeze"] + brakes + [row for row in rows if row["what"] != "freeze"]


def _row(switch: Mapping[str, Any]) -> dict[str, Any]:
    name, _, rule = switch["name"].partition(":")
    stands = "free"
    if rule:
        stands = f"armed at {switch.get('revision', '')[:SHOWN]}" if switch["on"] else "disarmed"
    elif switch["on"]:
        stands = "frozen"
    what = f"{name} {rule}".strip()
    return {"what": what, "stands": stands, "by": switch["by"], "why": switch["why"], "at": switch["at"][:19]}
