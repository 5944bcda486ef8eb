"""The rule that is shipped for etcd, and the schema that editors read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.model.rules import Mode
from remediator.rulebook import json_schema

SHIPPED = Path(__file__).parents[3] / "rules" / "etcd" / "member-removed.yaml"
TYPES: Mapping[str, type | tuple[type, ...]] = {"object": dict, "array": list, "string": str, "integer": int}


def objections(value: Any, schema: Mapping[str, Any], top: Mapping[str, Any], way: str = "") -> Iterator[str]:
    """The part of JSON Schema that ours is written in."""
    if "$ref" in schema:
        schema = top["$defs"][schema["$ref"].rpartition("/")[2]]
    if not isinstance(value, TYPES.get(schema.get("type", ""), object)):
        yield f"{way} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{way} is none of {schema['enum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{way} does not look like {schema['pattern']}"
    if isinstance(value, str | list) and len(value) < schema.get("minLength", schema.get("minItems", 0)):
        yield f"{way} is too short"
    if isinstance(value, list):
        for item in value:
            yield from objections(item, schema["items"], top, f"{way}[]")
    if isinstance(value, dict):
        yield from objections_to_keys(value, schema, top, way)


def objections_to_keys(
    value: Mapping[str, Any], schema: Mapping[str, Any], top: Mapping[str, Any], way: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{way} needs {key}" for key in schema.get("required", ()) if key not in value)
    for key, inner in value.items():
        if key in known:
            yield from objections(inner, known[key], top, f"{way}.{key}")
        elif schema.get("additionalProperties") is False:
            yield f"{way}.{key} is unknown"


def objections_to(text: str) -> list[str]:
    schema = json.loads(json.dumps(json_schema()))
    return list(objections(yaml.safe_load(text), schema, schema))


def test_the_shipped_rule_loads_and_only_observes(load_all):
    """A fresh install looks and writes nothing."""
    book = load_all(SHIPPED)

    assert book.problems == ()
    assert [(rule.name, rule.mode, rule.namespaces) for rule in book.rules] == [
        ("etcd-member-removed", Mode.OBSERVE, ("milvus",))
    ]


@pytest.mark.parametrize(
    ("labels", "matches"),
    [
        ({"alertname": "KubePodCrashLooping", "namespace": "milvus", "container": "etcd"}, True),
        ({"alertname": "KubePodNotReady", "namespace": "milvus", "pod": "my-release-etcd-2"}, True),
        ({"alertname": "KubePodCrashLooping", "namespace": "milvus", "container": "proxy"}, False),
        ({"alertname": "etcdNoLeader", "namespace": "milvus", "pod": "my-release-etcd-2"}, False),
    ],
)
def test_the_shipped_rule_wants_the_alerts_of_its_sheet(load_all, labels, matches):
    """A crash-looping etcd container, or an unready pod; never a lost quorum."""
    (rule,) = load_all(SHIPPED).rules

    assert rule.matches(labels) is matches


def test_the_schema_accepts_the_shipped_rule():
    """An editor shows no error in a rule that loads."""
    assert objections_to(SHIPPED.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "objection"),
    [
        ("system:", "systm:", ".systm is unknown"),
        ("system: etcd", "", " needs system"),
        ("observe #", "watch #", ".mode is none of ['observe', 'approve', 'auto']"),
        ("[milvus]", "[]", ".where.namespaces is too short"),
        ("[milvus]", "[a*]", ".where.namespaces[] does not look like"),
        ("cooldown: 30m", "cooldown: soon", ".cooldown does not look like"),
        ("cooldown: 30m", "cooldown: 30", ".cooldown is no string"),
        ("3 per 1h", "often", ".limits.per_rule does not look like"),
    ],
)
def test_the_schema_objects_to_what_the_loader_refuses(old, new, objection):
    """An editor shows the common mistakes while they are made."""
    text = SHIPPED.read_text()
    assert old in text

    assert any(one.startswith(objection) for one in objections_to(text.replace(old, new)))
