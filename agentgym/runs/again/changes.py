"""What is not as it was when a run was played, before it is played again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from agentgym.runs.again.surroundings import digests, machine
from agentgym.runs.lines import listed
from agentgym.runs.summary_json import OriginJson, SampledJson

MOST_NAMED = 5
"""Files that are named."""


def changes(
    origin: OriginJson,
    versions: Mapping[str, str],
    *,
    root: Path,
    installed: Mapping[str, str],
    sampled: SampledJson | None,
) -> Iterator[str]:
    """Sentences on what is not as it was.

    Args:
        origin: Of the run.
        versions: Those that the run had, by distribution.
        root: The project's folder now.
        installed: Versions now.
        sampled: What would sample now.
    """
    names = sorted(versions.keys() | installed.keys())
    for name in names:
        was, is_ = versions.get(name), installed.get(name)
        if was != is_:
            yield f"{name} was {was or 'not installed'}, and is {is_ or 'not there'}"
    now = digests(root, (root / name for name in origin["files"]))
    changed = [name for name in now if now[name] != origin["files"][name]]
    gone = [name for name in origin["files"] if name not in now]
    if changed:
        yield f"changed since: {listed(changed, MOST_NAMED)}"
    if gone:
        yield f"gone since: {listed(gone, MOST_NAMED)}"
    yield from _sampled(origin["sampled"], sampled)
    if machine() != origin["machine"]:
        yield f"the machine was {origin['machine']}, and is {machine()}"


def _sampled(was: SampledJson | None, is_: SampledJson | None) -> Iterator[str]:
    if was is None:
        return
    if is_ is None or was["weights"] != is_["weights"]:
        yield "the weights of the policy are not what they were"
        return
    for name in ("engine", "device"):
        if was[name] != is_[name]:
            yield f"the {name} that samples was {was[name]!r}, and is {is_[name]!r}"
