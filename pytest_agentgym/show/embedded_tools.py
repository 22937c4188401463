"""Whether the embedded policy is asked about tools that it has never seen."""

from __future__ import annotations

from collections.abc import Iterable

from agentgym.runs.lines import listed
from pytest_agentgym.play.episode_report import EpisodeReport

EMBEDDED = "embedded"


class EmbeddedTools:
    """Looks at the tools that the embedded policy is offered, until it knows."""

    def __init__(self) -> None:
        self._told = False

    def look(self, report: EpisodeReport) -> str | None:
        """What to tell of the first agent whose tools are all unknown, once.

        Args:
            report: Of episodes that just finished.
        """
        if self._told or not any(e.policy == EMBEDDED for e in report.episodes):
            return None
        for prompt in report.prompts.values():
            names = sorted(tool["name"] for tool in prompt.get("tools") or ())
            if names and (packs := _strange_to(names)):
                self._told = True
                return (
                    f"the embedded policy knows the tools of {listed(packs, 5)} only, "
                    f"and none of this agent's ({listed(names, 3)}): what it says here "
                    "means nothing; name a model of your own by --agentgym-policy"
                )
        return None


def _strange_to(names: Iterable[str]) -> list[str]:
    """The packs that the embedded policy speaks, where none has such a tool."""
    from agentgym.scenarios.packs import ScenarioRegistry

    packs = [pack for pack in ScenarioRegistry() if pack.embedded is not None]
    known = {tool for pack in packs for tool in pack.tools}
    return [] if known & set(names) else [pack.name for pack in packs]
