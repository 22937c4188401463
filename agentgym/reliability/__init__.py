"""What can be said about a reliability from a number of episodes; pure functions."""

from agentgym.reliability.clusters import (
    CaseSpread,
    ClusteredRate,
    case_spread,
    clustered_rate,
)
from agentgym.reliability.gate_odds import noticed, point_alarm
from agentgym.reliability.grouped import GroupedTest, grouped_test, judge_grouped
from agentgym.reliability.intervals import (
    CONFIDENCE,
    bounds,
    clopper_pearson,
    jeffreys,
)
from agentgym.reliability.paired import paired_difference, paired_over_cases
from agentgym.reliability.rates import KEpisodes, k_episodes, pass_at_k, pass_hat_k
from agentgym.reliability.run_stop import RunStop
from agentgym.reliability.scenario_stop import Decision, ScenarioStop
from agentgym.reliability.sequential import (
    SequentialTest,
    confidence_sequence,
    sequential_bounds,
    sequential_test,
)
from agentgym.reliability.sequential_verdicts import (
    certified_by_scenarios,
    judge_mean,
    judge_sequence,
    mean_verdict,
)
from agentgym.reliability.sizing import (
    episodes_for_power,
    episodes_to_certify,
    episodes_to_decide,
)
from agentgym.reliability.verdicts import (
    ALPHA,
    ATTRITION_LIMIT,
    Reliability,
    Verdict,
    attrition_bounds,
    attrition_exceeded,
    holm,
    judge,
)

__all__ = [
    "ALPHA",
    "ATTRITION_LIMIT",
    "CONFIDENCE",
    "CaseSpread",
    "ClusteredRate",
    "Decision",
    "GroupedTest",
    "KEpisodes",
    "Reliability",
    "RunStop",
    "ScenarioStop",
    "SequentialTest",
    "Verdict",
    "attrition_bounds",
    "attrition_exceeded",
    "bounds",
    "case_spread",
    "certified_by_scenarios",
    "clopper_pearson",
    "clustered_rate",
    "confidence_sequence",
    "episodes_for_power",
    "episodes_to_certify",
    "episodes_to_decide",
    "grouped_test",
    "holm",
    "jeffreys",
    "judge",
    "judge_grouped",
    "judge_mean",
    "judge_sequence",
    "k_episodes",
    "mean_verdict",
    "noticed",
    "paired_difference",
    "paired_over_cases",
    "pass_at_k",
    "pass_hat_k",
    "point_alarm",
    "sequential_bounds",
    "sequential_test",
]
