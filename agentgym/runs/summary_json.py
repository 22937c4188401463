"""The content of `summary.json`, as types; `agentgym schema` says what the fields mean.

A test holds these and the schema together. Readers get what `read_summary` returns,
whichever version wrote the file; fields that early versions lack are read with `get`.
"""

# No annotation here may be a string: `NotRequired` would not be seen in it.
from typing import Any, Literal, NotRequired, TypedDict

VerdictName = Literal["RELIABLE", "UNRELIABLE", "UNDECIDED"]


class ReasonJson(TypedDict):
    """A reason of the gate."""

    kind: str
    sentence: str
    scenario: str | None


class DecisionJson(TypedDict):
    """What the gate says."""

    exit_code: int
    met: bool | None
    sentence: str
    qualifier: str | None
    reasons: list[ReasonJson]


class ReliabilityJson(TypedDict):
    """Passed share of the counted episodes, against a threshold."""

    value: float | None
    low: float
    high: float
    threshold: float
    verdict: VerdictName | None


class OutcomesJson(TypedDict):
    """Episodes by outcome."""

    passed: int
    failed: int
    infra_error: int
    harness_error: int
    simulator_error: int


class BoundsJson(TypedDict):
    """Reliability if all that does not count had failed, or passed."""

    worst: float | None
    best: float | None


class SpentJson(TypedDict):
    """Tokens and money."""

    input_tokens: float | None
    output_tokens: float | None
    usd: float | None


class UsageJson(TypedDict):
    """What model calls took."""

    usd: float | None
    input_tokens: int
    output_tokens: int
    calls: int
    silent_calls: int
    local_calls: int
    unpriced: dict[str, int]


class CostJson(UsageJson):
    """What episodes took: the agent's own, and what judges and users took."""

    per_episode: SpentJson
    per_passed: SpentJson
    judges: UsageJson
    total: SpentJson
    prices: NotRequired[str | None]


MeasuredPhase = Literal["before", "after"]


class SolvedJson(TypedDict):
    """What a passed episode took, those that failed included.

    Attributes:
        usd: US dollars by the name or pattern of a model whose price was given: what
            the same tokens would cost there.
    """

    tokens: float
    tool_calls: float
    usd: dict[str, float]


class PerPassedJson(TypedDict):
    """What a passed episode took in each measurement; None where none passed."""

    before: SolvedJson | None
    after: SolvedJson | None


class CheckJson(TypedDict):
    """How a check was judged."""

    id: int | str
    text: str
    file: str
    line: int
    weight: float
    must: str | None
    passed: int
    failed: int
    errored: int
    not_reached: int
    example: str | None
    message: str | None
    crashes: NotRequired[int]
    crash: NotRequired[str | None]


class CasesJson(TypedDict):
    """What repeated cases say of other cases."""

    played: int
    repeats: float | None
    low: float | None
    high: float | None
    correlation: float | None
    more_cases: bool | None


class KEpisodesJson(TypedDict):
    """What k episodes of a case come to, by k: the means over the cases."""

    pass_hat_k: dict[str, float | None]
    pass_at_k: dict[str, float | None]
    pass_k_cases: dict[str, int]
    pass_k_left_out: dict[str, int]


class CaseResultJson(TypedDict):
    """What came of a case; `case` is null where a scenario asks for none."""

    case: str | None
    passed: int
    failed: int
    other: int


class FamilyJson(KEpisodesJson):
    """Scenarios that are one function with several parameter sets."""

    name: str
    scenarios: int
    passed: int
    counted: int


class ListedJson(TypedDict):
    """Cases that a scenario lists, and how many of them were played."""

    cases: int
    played: int


class ScenarioJson(TypedDict):
    """A scenario."""

    name: str
    episodes: int
    planned: int
    passed: int
    reliability: ReliabilityJson
    xfail: bool
    met: bool | None
    pass_hat_k: dict[str, float | None]
    pass_at_k: dict[str, float | None]
    pass_k_cases: NotRequired[dict[str, int]]
    pass_k_left_out: NotRequired[dict[str, int]]
    case_results: NotRequired[list[CaseResultJson]]
    case_results_left_out: NotRequired[int]
    cases: CasesJson | None
    listed: NotRequired[ListedJson | None]
    attrition: BoundsJson
    mean_reward: float | None
    tokens: float | None
    seconds: float | None
    cost: CostJson
    outcomes: OutcomesJson
    waiting: int
    smallest_failing_case: str | None
    checks: list[CheckJson]


class LatencyJson(TypedDict):
    """Seconds."""

    median: float | None
    p95: float | None


class RateJson(TypedDict):
    """A share with its interval."""

    value: float | None
    low: float | None
    high: float | None


class ToolJson(TypedDict):
    """The calls of a tool."""

    name: str
    calls: int
    correct: int
    wrong_arguments: int
    not_allowed: int
    missing: int
    raised: int
    unjudged: int
    waiting: int
    correct_rate: RateJson
    latency: LatencyJson


class JudgeJson(TypedDict):
    """What judges did."""

    models: list[str]
    scenarios: list[str]
    verdicts: int
    cached: int
    tokens: int


class UserJson(TypedDict):
    """What simulated users did."""

    models: list[str]
    scenarios: list[str]
    messages: int
    tokens: int


class SimulatorsJson(TypedDict):
    """Judges and simulated users."""

    judge: JudgeJson | None
    user: UserJson | None
    undeclared: list[str]


class NotPlayedJson(TypedDict):
    """A scenario that could not have saved a run that was settled."""

    name: str
    played: int
    planned: int


class SkippedJson(TypedDict):
    """The cases that a scenario left out, and why."""

    name: str
    skipped: int
    planned: int
    reasons: dict[str, int]


class ShareJson(TypedDict):
    """A measurement of a training."""

    value: float | None
    low: float
    high: float


class GainJson(TypedDict):
    """What a training has changed, in pairs of episodes of so many held-out cases."""

    value: float
    low: float
    high: float
    paired: NotRequired[bool]
    cases: NotRequired[int]


class MismatchJson(TypedDict):
    """How far sampler and trainer differ in log-probabilities, over all updates.

    Attributes:
        engine: What sampled: "own" or "vllm".
        mean: Over sampled tokens, in nats.
        max: The largest one.
        corrected_share: Of trained tokens: importance weights correct these.
        truncated_share: Of trained tokens: their weight is at its limit.
    """

    engine: str
    mean: float
    max: float
    corrected_share: float
    truncated_share: float


SignKind = Literal["held_out", "checks", "one_form", "no_call", "lengths"]
"""Of a sign of reward hacking."""


class SignJson(TypedDict):
    """A sign of reward hacking.

    Attributes:
        title: What its kind is called.
        scenario: Node id; None if it is about all scenarios together.
        sentence: What was seen, in numbers, and what to do.
        since: The update from which on it was there.
    """

    kind: SignKind
    title: str
    scenario: str | None
    sentence: str
    since: int


class TrainingJson(TypedDict):
    """What came of a training."""

    before: ShareJson | None
    after: ShareJson | None
    difference: GainJson | None
    target: float
    met: bool
    judgeable: bool
    interrupted: bool
    episodes: int
    updates: int
    seconds: float
    policy: str
    version: int
    looks: int
    agent: str | None
    reason: str
    never_passed: NotRequired[list[str]]
    gate: NotRequired[Literal["point", "certified"]]
    at_least: NotRequired[float | None]
    next_confidence: NotRequired[float]
    mismatch: NotRequired[MismatchJson | None]
    per_passed: NotRequired[PerPassedJson | None]
    signs: NotRequired[list[SignJson]]


class CountsJson(TypedDict):
    """Episodes of one side."""

    passed: int
    counted: int


class DifferenceJson(TypedDict):
    """How much a share has changed."""

    before: float
    after: float
    value: float
    low: float
    high: float
    paired: bool
    episodes: int


class ComparedJson(TypedDict):
    """A scenario or tool of both runs."""

    name: str
    before: CountsJson
    after: CountsJson
    difference: DifferenceJson | None


class ChangedCaseJson(TypedDict):
    """A case that newly fails, or is newly fixed."""

    scenario: str
    case: dict[str, Any]
    before: CountsJson
    after: CountsJson
    episodes: list[str]


class ComparedRunJson(TypedDict):
    """One side of a comparison."""

    run: str
    policy: str | None
    seed: int | None


class MaxDropJson(TypedDict):
    """The drop that is allowed, and what is certain about the measured one."""

    limit: float
    verdict: Literal["WITHIN", "EXCEEDED", "UNDECIDED", "UNKNOWN"]
    run: bool
    scenarios: list[str]


class PromptChangeJson(TypedDict):
    """A system prompt or a tool that is not what it was."""

    sentence: str
    scenarios: list[str]
    diff: list[str]


class ComparisonJson(TypedDict):
    """What has changed since an earlier run."""

    confidence: float
    before: ComparedRunJson
    after: ComparedRunJson
    difference: DifferenceJson | None
    scenarios: list[ComparedJson]
    tools: list[ComparedJson]
    newly_failing: list[ChangedCaseJson]
    newly_fixed: list[ChangedCaseJson]
    only_before: list[str]
    only_after: list[str]
    max_drop: MaxDropJson | None
    notes: list[str]
    prompts: NotRequired[list[PromptChangeJson]]


class SampledJson(TypedDict):
    """What sampled a run's policy, where the run had that done itself.

    Attributes:
        weights: Digest of the model's weights and its adapter's.
        engine: "own" or "vllm".
        device: "cpu" or "gpu".
    """

    weights: str
    engine: str
    device: str


class OriginJson(TypedDict):
    """What a run was made of: what it takes to play it again.

    Attributes:
        arguments: Of pytest, as they were given; secrets are masked.
        addopts: The same of the environment's PYTEST_ADDOPTS.
        folder: Where pytest was started, from the project's folder.
        workers: xdist's; 0 where the main process played.
        in_flight: Episodes in flight in a process, if their number was given.
        machine: What it ran on.
        files: Digests of the project's own code and settings, by path.
        sampled: None where the agent asked others' models.
    """

    arguments: list[str]
    addopts: str
    folder: str
    workers: int
    in_flight: int | None
    machine: str
    files: dict[str, str]
    sampled: SampledJson | None


class SummaryJson(TypedDict):
    """A run; the plugin adds `usage_errors` and `folder`."""

    format: int
    run: str
    started: float
    seconds: float
    exit_code: int
    decision: DecisionJson
    reliability: ReliabilityJson
    confidence: float
    judgeable: bool
    interrupted: bool
    stopped: str | None
    gate: Literal["point", "tolerant", "certified"]
    gate_odds: NotRequired[str | None]
    stop: Literal["fixed", "sequential", "grouped"]
    planned: int
    not_played: list[NotPlayedJson]
    skipped: NotRequired[list[SkippedJson]]
    attrition_limit: float
    attrition: BoundsJson
    mean_reward: float | None
    episodes: OutcomesJson
    scenarios: list[ScenarioJson]
    families: NotRequired[list[FamilyJson]]
    k_episodes: NotRequired[KEpisodesJson]
    tools: list[ToolJson]
    cost: CostJson
    simulators: SimulatorsJson
    policy: str | None
    seed: int
    versions: dict[str, str]
    warnings: list[str]
    usage_errors: NotRequired[list[str]]
    folder: NotRequired[str | None]
    origin: NotRequired[OriginJson]
    baseline: NotRequired[ComparisonJson]
    training: NotRequired[TrainingJson]
