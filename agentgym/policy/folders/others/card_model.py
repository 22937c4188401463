"""What `agent.json` may say, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from agentgym.distribution import DISTRIBUTION
from agentgym.policy.folders.others.file_model import Line, Said, refused
from agentgym.policy.folders.others.plain_json import quoted
from agentgym.policy.folders.others.validator import CARD_FORMAT


def _short(variables: dict[str, Any]) -> dict[str, Any]:
    # They become an argument of the policy server's command line.
    if len(str(variables)) > 10_000:
        raise ValueError("it has more than 10,000 characters")
    return variables


Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Count = Annotated[int, Field(ge=0, le=10**15)]


class BaseSaid(Said):
    """The base model of a trained agent."""

    spec: Annotated[Line, Field(min_length=1)]
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None


class ScenarioSaid(Said):
    """A scenario that an agent was trained on."""

    scenario: Line
    judged_by: list[Line] = Field(default_factory=list)


class ShareSaid(Said):
    """A measured share, or a difference, with its interval."""

    value: Number
    low: Number | None = None
    high: Number | None = None


class SolvedSaid(Said):
    """What a passed episode took."""

    tokens: Annotated[Number, Field(ge=0)]
    tool_calls: Annotated[Number, Field(ge=0)]
    usd: dict[Line, Annotated[Number, Field(ge=0)] | None]


class PerPassedSaid(Said):
    """What a passed episode took before and after."""

    before: SolvedSaid | None = None
    after: SolvedSaid | None = None


class ToolSaid(Said):
    """A tool that an agent was trained with."""

    name: Line


class PromptSaid(Said):
    """The prompt that an agent was trained with."""

    system: str | None = None
    tools: list[ToolSaid] = Field(default_factory=list)


class SettingsSaid(Said):
    """The settings of the training that are used later."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    chat_template_kwargs: Annotated[dict[str, Any], AfterValidator(_short)] | None = (
        None
    )


class AgentCard(Said):
    """A trained agent's card, as far as it is used."""

    format: Annotated[int, Field(ge=0)]
    name: Annotated[
        str,
        StringConstraints(
            pattern=r"^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?$"
        ),
    ]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}$")]
    base: BaseSaid
    created: Line | None = None
    scenarios: list[ScenarioSaid] = Field(default_factory=list)
    before: ShareSaid | None = None
    after: ShareSaid | None = None
    difference: ShareSaid | None = None
    per_passed: PerPassedSaid | None = None
    prompt: PromptSaid | None = None
    config: SettingsSaid = SettingsSaid()
    episodes: Count = 0
    updates: Count = 0
    judged_episodes: Count = 0
    seconds: Annotated[Number, Field(ge=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_newer_one(cls, said: Any) -> Any:
        format_ = said.get("format")
        if type(format_) is int and format_ > CARD_FORMAT:
            raise refused(
                f"has format {quoted(format_)}, which this version of agentgym cannot "
                f"read: update {DISTRIBUTION}"
            )
        return said
