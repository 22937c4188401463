"""Tools as OpenAI's API writes them."""

from __future__ import annotations

from typing import Any


def made_tool(name: str, description: str) -> dict[str, Any]:
    """A tool whose one argument is an order's id."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string"}},
                "required": ["order_id"],
            },
        },
    }
