"""
A scene as one line that can be pasted: into a shell, to play it again, and into a test, to keep it.

In: a scene. Out: JSON without what has its default; and the other way round. Unknown words are refused by name.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any, get_args

from tests.simulation.faults import SETUPS, Fault, Moment, Scene

_MOMENTS = "|".join(get_args(Moment))
_FAULT = re.compile(rf"(?P<name>[a-z0-9-]+) (?P<moment>{_MOMENTS}) (?P<number>[0-9.]+)(?P<rest>.*)")
_LASTING = re.compile(r" for (?P<seconds>[0-9.]+) s\Z")


def as_line(scene: Scene) -> str:
    said = {field.name: getattr(scene, field.name) for field in fields(Scene)}
    calm = {field.name: field.default for field in fields(Scene)}
    told = {name: value for name, value in said.items() if value != calm[name]}
    return json.dumps({**told, "faults": list(map(str, scene.faults))} if scene.faults else told)


def from_line(line: str) -> Scene:
    said: dict[str, Any] = json.loads(line)
    unknown = set(said) - {field.name for field in fields(Scene)}
    if unknown:
        raise ValueError(f"a scene has no {', '.join(sorted(unknown))}")
    if said.get("cluster", "three") not in SETUPS:
        raise ValueError(f"there is no cluster {said['cluster']!r}; there are {', '.join(SETUPS)}")
    read = {"faults": lambda told: tuple(map(fault_of, told)), "removed": tuple}
    return Scene(**{name: read[name](value) if name in read else value for name, value in said.items()})


def fault_of(text: str) -> Fault:
    """`isolate at 73.718 for 20 s`, as a fault says itself."""
    found = _FAULT.fullmatch(text)
    lasting = _LASTING.fullmatch(found["rest"]) if found and found["rest"] else None
    if found is None or (found["rest"] and lasting is None):
        raise ValueError(f"{text!r} is no fault; write `NAME {_MOMENTS} NUMBER`, and perhaps ` for SECONDS s`")
    moment: Any = found["moment"]
    number = float(found["number"]) if moment == "at" else int(found["number"])
    return Fault(found["name"], moment, number, float(lasting["seconds"]) if lasting else 0.0)
