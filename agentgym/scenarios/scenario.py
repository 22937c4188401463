"""Scenarios: a task plus its checks, as a decorated function or as a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, overload

from agentgym.errors import UsageError
from agentgym.recording.trajectory import Trajectory
from agentgym.scenarios.cases import Case, Cases, Split, given
from agentgym.scenarios.components import TRAINABLE_COMPONENTS, check_mapping
from agentgym.scenarios.dataset import dataset
from agentgym.scenarios.process_limits import ProcessLimits

DEFAULT_EPISODES = 32
_ATTRIBUTE = "__agentgym_scenario__"

F = TypeVar("F", bound=Callable[..., Any])
Isolation = Literal["process"] | ProcessLimits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSettings:
    """What a scenario says about how it is run; None leaves it to the run.

    Attributes:
        episodes: Episodes to play.
        split: `auto` splits the cases in train and held-out; `train` or `held_out`
            keeps all of them on one side.
        cases: See `agentgym.scenarios.cases.make_cases`.
        threshold: Reliability in [0, 1] that the scenario must reach.
        timeout: Seconds for each of an episode's set-up, body and tear-down.
        trainable_components: What of the agent's messages training may change, where
            it differs from `TRAINABLE_COMPONENTS`.
        judged: Whether a judge or a simulated user may take part in the rewards that a
            training learns from.
        isolation: "process" gives each episode a process of its own, with the limits of
            `ProcessLimits`; other limits in its place do, too.
    """

    episodes: int = DEFAULT_EPISODES
    split: Literal["auto", "train", "held_out"] = "auto"
    cases: Cases = None
    threshold: float | None = None
    timeout: float | None = None
    trainable_components: Mapping[str, bool] | None = None
    judged: bool = False
    isolation: Isolation = None

    def __post_init__(self) -> None:
        _require(
            self.isolation in (None, "process")
            or isinstance(self.isolation, ProcessLimits),
            f"isolation={self.isolation!r}: choose 'process', or ProcessLimits(...) "
            "with limits of your own",
        )
        _require(
            isinstance(self.judged, bool),
            f"judged={self.judged!r}: give True if a judge or a simulated user may "
            "take part in the rewards of a training, else False",
        )
        _require(
            isinstance(self.episodes, int) and self.episodes >= 1,
            f"episodes={self.episodes!r}: a scenario needs at least 1 episode",
        )
        _require(
            self.split in ("auto", "train", "held_out"),
            f"split={self.split!r}: choose 'auto', 'train' or 'held_out'",
        )
        _require(
            self.threshold is None
            or (isinstance(self.threshold, int | float) and 0 <= self.threshold <= 1),
            f"threshold={self.threshold!r}: give a share between 0 and 1, such as 0.95",
        )
        _require(
            self.timeout is None
            or (isinstance(self.timeout, int | float) and self.timeout > 0),
            f"timeout={self.timeout!r}: give a positive number of seconds",
        )
        check_mapping(self.trainable_components or {}, "trainable_components=")
        if isinstance(self.cases, int):
            _require(self.cases >= 1, f"cases={self.cases!r}: give at least 1 case")
        elif self.cases is not None and not isinstance(self.cases, given | dataset):
            _require(
                isinstance(self.cases, list | tuple | range) and len(self.cases) > 0,
                "cases must be a number, a list of values, dataset(...) or given(...), "
                "and not empty",
            )

    @property
    def process_limits(self) -> ProcessLimits | None:
        """What a process of an episode may use up; None if it has none of its own."""
        return ProcessLimits() if self.isolation == "process" else self.isolation


class Scenario:
    """Class form of a scenario: subclass it and write `play` with plain asserts.

    Each episode gets a new instance, so attributes are free to use. `play` may ask
    for any pytest fixture beside `agent` and `environment`.

    Attributes:
        case: The case of this episode, set before `create_environment`.
        reward: Reward in [0, 1] from the checks, set before `broadcast_rewards`.
    """

    __test__: ClassVar[bool] = False
    episodes: ClassVar[int] = DEFAULT_EPISODES
    split: ClassVar[Literal["auto", "train", "held_out"]] = "auto"
    cases: ClassVar[Cases] = None
    threshold: ClassVar[float | None] = None
    timeout: ClassVar[float | None] = None
    judged: ClassVar[bool] = False
    isolation: ClassVar[Isolation] = None

    case: Case
    reward: float

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lets pytest collect the subclass, unless it has a `__test__` of its own."""
        super().__init_subclass__(**kwargs)
        if "__test__" not in vars(cls):
            cls.__test__ = cls.play is not Scenario.play

    def create_environment(self) -> Any:
        """Makes the fresh world of one episode; `environment` in `play`."""
        return None

    def play(self, *args: Any, **fixtures: Any) -> Any:
        """Runs the agent on the case and asserts what a good run looks like.

        Args:
            *args: None in a subclass: pytest gives fixtures by name.
            **fixtures: In a subclass, parameters named after the fixtures it needs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no play() method")

    def broadcast_rewards(self, trajectory: Trajectory) -> list[float]:
        """Gives every step of the trajectory its reward: by default the episode's.

        Args:
            trajectory: What happened in the episode.

        Returns:
            One number in [0, 1] for each of `trajectory.steps`.
        """
        return [self.reward] * len(trajectory.steps)

    def define_trainable_components(self) -> dict[str, bool]:
        """Says which parts of the agent's messages may be trained."""
        return dict(TRAINABLE_COMPONENTS)

    @classmethod
    def settings(cls) -> ScenarioSettings:
        """The class attributes as checked settings."""
        return ScenarioSettings(
            episodes=cls.episodes,
            split=cls.split,
            cases=cls.cases,
            threshold=cls.threshold,
            timeout=cls.timeout,
            judged=cls.judged,
            isolation=cls.isolation,
        )


@overload
def scenario(function: F, /) -> F: ...


@overload
def scenario(
    *,
    episodes: int = ...,
    split: Literal["auto", "train", "held_out"] = ...,
    cases: Cases = ...,
    threshold: float | None = ...,
    timeout: float | None = ...,
    trainable_components: Mapping[str, bool] | None = ...,
    judged: bool = ...,
    isolation: Isolation = ...,
) -> Callable[[F], F]: ...


def scenario(function: F | None = None, /, **settings: Any) -> F | Callable[[F], F]:
    """Marks a test function as a scenario; every assert in it becomes a check.

    Args:
        function: The function, when used without parentheses.
        **settings: Fields of `ScenarioSettings`.

    Returns:
        The function itself, unchanged but for a mark.

    Raises:
        UsageError: There is no such setting, or it is out of its range.
    """
    known = [field.name for field in fields(ScenarioSettings)]
    for name in settings:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1)
            raise UsageError(
                f"@scenario has no setting {name!r}: "
                + (f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}")
            )

    def mark(fn: F) -> F:
        if isinstance(fn, type) or not callable(fn):
            raise UsageError(
                f"@scenario goes on a function, not on {fn!r}: for a class, derive "
                "from agentgym.Scenario"
            )
        setattr(fn, _ATTRIBUTE, ScenarioSettings(**settings))
        return fn

    return mark if function is None else mark(function)


def settings_of(obj: object) -> ScenarioSettings | None:
    """Settings of a scenario function or class; None for anything else."""
    if isinstance(obj, type) and issubclass(obj, Scenario) and obj is not Scenario:
        return obj.settings()
    settings = getattr(obj, _ATTRIBUTE, None)
    return settings if isinstance(settings, ScenarioSettings) else None


def is_scenario_class(obj: object) -> bool:
    """Whether this is a subclass of `Scenario` (and not `Scenario` itself)."""
    return isinstance(obj, type) and issubclass(obj, Scenario) and obj is not Scenario


def split_to_play(settings: ScenarioSettings, asked: Split | None) -> Split | None:
    """The split that a scenario's cases come from in this run.

    Args:
        settings: The scenario's own.
        asked: What the run asks for; None for both.

    Raises:
        UsageError: The scenario keeps all its cases on the other side.
    """
    if settings.split == "auto":
        return asked
    if asked is not None and asked != settings.split:
        raise UsageError(f"it has only {settings.split} cases, and {asked} was asked")
    return settings.split


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)
