"""Checks a `summary.json` against the published schema, and that it says no more."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema


def check_summary(summary: dict[str, Any]) -> None:
    """Fails with all that is wrong."""
    text = (resources.files("agentgym.report") / "summary.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(_closed(schema))
    wrong = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(summary)]
    assert not wrong, "\n".join(wrong)


def _closed(part: Any) -> Any:
    """The schema with nothing allowed that it does not name."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    return closed | ({"additionalProperties": False} if "required" in part else {})
