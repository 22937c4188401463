"""`prompts.jsonl`: the system prompts and tools that a run's models were asked by."""

# No annotation here may be a string: `NotRequired` would not be seen in it.
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from agentgym.runs.files.layout import PROMPTS
from agentgym.runs.files.shape import check_shape, loads


class ToolPrompt(TypedDict):
    """A tool as a model read of it."""

    name: str
    description: str
    parameters: object


class PromptLine(TypedDict):
    """A line: a system prompt, or the tools of a request."""

    digest: str
    system: NotRequired[str]
    tools: NotRequired[list[ToolPrompt]]


class PromptFile:
    """Writes each prompt of a run once; there is no file where there is none.

    Args:
        folder: The run's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROMPTS
        self._known: set[str] | None = None

    def add(self, prompts: Mapping[str, Any]) -> None:
        """Adds those that are not there yet.

        Args:
            prompts: By digest.

        Raises:
            OSError: They cannot be written.
        """
        if self._known is None:
            # A training may go on in a folder that has some.
            self._known = {line["digest"] for line in _lines(self._path)}
        new = {d: prompt for d, prompt in prompts.items() if d not in self._known}
        if not new:
            return
        with self._path.open("a", encoding="utf-8") as file:
            for digest, prompt in new.items():
                file.write(json.dumps({"digest": digest, **prompt}) + "\n")
        self._known.update(new)


def read_prompts(folder: Path) -> dict[str, PromptLine]:
    """The prompts of a run by digest; early versions stored none.

    Args:
        folder: The run's.
    """
    return {line["digest"]: line for line in _lines(folder / PROMPTS)}


def _lines(path: Path) -> Iterator[PromptLine]:
    """The lines of a file; one that is none is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for row in text.splitlines():
        try:
            line: PromptLine = loads(row, finite=True)
            check_shape(line, PromptLine)
        except ValueError:
            continue
        yield line
