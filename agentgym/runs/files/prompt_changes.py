"""What changed in what models are asked by: system prompts, and the tools they know."""

from __future__ import annotations

import difflib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentgym.recording.plain import shorten
from agentgym.recording.trajectory import Trajectory

if TYPE_CHECKING:
    from agentgym.runs.files.prompts import PromptLine, ToolPrompt
    from agentgym.runs.summary_json import PromptChangeJson

MOST_LINES = 8
MOST_WIDTH = 300

Asker = tuple[str, tuple[str, ...]]
"""A scenario, and the nested agents by whom a model is asked in it."""

Change = tuple[str, tuple[str, ...]]
"""A sentence, and lines of a diff."""


@dataclass(slots=True)
class PromptUse:
    """By what models were asked in a run.

    Attributes:
        systems: How often each agent asked by which system prompt, by digest.
        tools: The same of its tools.
    """

    systems: dict[Asker, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    tools: dict[Asker, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )

    def add(self, scenario: str, trajectory: Trajectory) -> None:
        """Counts the model calls of an episode.

        Args:
            scenario: Whose episode it is.
            trajectory: Of the episode.
        """
        for call in trajectory.model_calls:
            if call.system is not None:
                self.systems[scenario, call.path][call.system] += 1
            if call.tools is not None:
                self.tools[scenario, call.path][call.tools] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChange:
    """A prompt or a tool that is not what it was.

    Attributes:
        sentence: What changed.
        scenarios: Where.
        diff: Lines of a diff, the first ones.
    """

    sentence: str
    scenarios: tuple[str, ...]
    diff: tuple[str, ...]

    def to_json(self) -> PromptChangeJson:
        """The form in `summary.json`."""
        return {
            "sentence": self.sentence,
            "scenarios": list(self.scenarios),
            "diff": list(self.diff),
        }


def prompt_changes(
    before: PromptUse,
    after: PromptUse,
    known: tuple[Mapping[str, PromptLine], Mapping[str, PromptLine]],
) -> tuple[PromptChange, ...]:
    """What changed from one run to another, in the scenarios that both have.

    Args:
        before: Of the earlier run.
        after: Of the later one.
        known: The prompts of both by digest.
    """
    found: dict[Change, list[str]] = defaultdict(list)
    for asker in sorted(before.systems.keys() & after.systems.keys()):
        sides = before.systems[asker], after.systems[asker]
        for change in _systems(asker, *sides, *known):
            found[change].append(asker[0])
    for asker in sorted(before.tools.keys() & after.tools.keys()):
        first = _tools_of(before.tools[asker], known[0])
        for change in _tools(first, _tools_of(after.tools[asker], known[1])):
            found[change].append(asker[0])
    return tuple(
        PromptChange(
            sentence=sentence, scenarios=tuple(dict.fromkeys(names)), diff=diff
        )
        for (sentence, diff), names in found.items()
    )


def _systems(
    asker: Asker,
    before: Counter[str],
    after: Counter[str],
    first: Mapping[str, PromptLine],
    second: Mapping[str, PromptLine],
) -> Iterator[Change]:
    """The commonest prompt that is gone, against the commonest new one.

    An agent may have several: one whose prompt has the time has one in each episode.
    """
    gone = Counter({digest: n for digest, n in before.items() if digest not in after})
    new = Counter({digest: n for digest, n in after.items() if digest not in before})
    if not gone or not new:
        return
    old, now = _commonest(gone, first), _commonest(new, second)
    if old is None or now is None:
        return
    whose = f" of {' > '.join(asker[1])}" if asker[1] else ""
    often = "" if len(after) == 1 else f" (one of {len(after)})"
    yield (
        f"the system prompt{whose} changed{often}",
        tuple(_diff(old, now)),
    )


def _commonest(counts: Counter[str], known: Mapping[str, PromptLine]) -> str | None:
    line = known.get(counts.most_common(1)[0][0])
    return None if line is None else line.get("system")


def _tools_of(
    digests: Counter[str], known: Mapping[str, PromptLine]
) -> dict[str, ToolPrompt]:
    """By name; of a tool that changes within a run, how it was most often."""
    found: dict[str, ToolPrompt] = {}
    for digest, _ in digests.most_common():
        line = known.get(digest)
        for tool in () if line is None else line.get("tools", ()):
            found.setdefault(tool["name"], tool)
    return found


def _tools(
    before: Mapping[str, ToolPrompt], after: Mapping[str, ToolPrompt]
) -> Iterator[Change]:
    if not before or not after:
        return
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"tool {name} is gone", ()
        elif name not in before:
            yield f"tool {name} is new", ()
        else:
            yield from _tool(name, before[name], after[name])


def _tool(name: str, before: ToolPrompt, after: ToolPrompt) -> Iterator[Change]:
    texts = before["description"], after["description"]
    if texts[0] != texts[1]:
        yield f"tool {name}'s description changed", tuple(_diff(*texts))
    if before["parameters"] != after["parameters"]:
        schemas = [_indented(each["parameters"]) for each in (before, after)]
        yield f"tool {name}'s parameters changed", tuple(_diff(*schemas))


def _indented(schema: object) -> str:
    return json.dumps(schema, indent=1, sort_keys=True)


def _diff(before: str, after: str) -> Iterator[str]:
    lines = [
        line
        for line in difflib.unified_diff(
            before.splitlines(), after.splitlines(), n=0, lineterm=""
        )
        if not line.startswith(("---", "+++", "@@"))
    ]
    yield from (shorten(line, MOST_WIDTH) for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"and {len(lines) - MOST_LINES} more lines"
