"""The types of `summary.json` and its published schema name the same fields."""

from __future__ import annotations

import json
import types
import typing
from importlib import resources
from typing import Any

from agentgym.runs import summary_json
from agentgym.runs.gate import ReasonKind

SCHEMA = json.loads(
    (resources.files("agentgym.report") / "summary.schema.json").read_text()
)
ADDED_BY_THE_PLUGIN = {"usage_errors", "folder"}


def resolved(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The forms that a value may have."""
    if "$ref" in part:
        return resolved(SCHEMA["$defs"][part["$ref"].rpartition("/")[2]])
    options = part.get("anyOf") or part.get("oneOf")
    return [form for each in options for form in resolved(each)] if options else [part]


def typed_dicts(hint: Any) -> list[Any]:
    """The typed dictionaries in an annotation."""
    if typing.is_typeddict(hint):
        return [hint]
    return [found for each in typing.get_args(hint) for found in typed_dicts(each)]


def compare(typed: Any, schema: dict[str, Any], where: str, seen: set[str]) -> None:
    seen.add(typed.__name__)
    hints = typing.get_type_hints(typed, include_extras=False)
    properties = schema["properties"]
    assert hints.keys() == properties.keys(), where
    added = ADDED_BY_THE_PLUGIN if typed is summary_json.SummaryJson else set()
    assert typed.__required_keys__ | added == set(schema["required"]), where
    for name, hint in hints.items():
        forms = resolved(properties[name])
        forms = [f for each in forms for f in resolved(each.get("items", each))]
        objects = [form for form in forms if form.get("properties")]
        found = typed_dicts(hint)
        assert len(found) == len(objects), f"{where}.{name}"
        for typed_part, part in zip(found, objects, strict=True):
            compare(typed_part, part, f"{where}.{name}", seen)
        nullable = any(
            form.get("type") == "null"
            or "null" in (form.get("type") or ())
            or None in form.get("enum", ())
            for form in resolved(properties[name])
        )
        assert nullable == (types.NoneType in typing.get_args(hint)), f"{where}.{name}"


def test_the_types_and_the_schema_name_the_same_fields() -> None:
    seen: set[str] = set()
    compare(summary_json.SummaryJson, SCHEMA, "$", seen)
    assert seen == {
        name for name, found in vars(summary_json).items() if typing.is_typeddict(found)
    }


def test_the_schema_names_every_kind_of_reason() -> None:
    reason = SCHEMA["$defs"]["decision"]["properties"]["reasons"]["items"]
    kinds = [kind.value for kind in ReasonKind]
    assert reason["properties"]["kind"]["enum"] == kinds
