"""Whose fault it is that a part of an episode did not end in time."""

from __future__ import annotations

from agentgym.errors import EpisodeTimeout, HarnessError, InfraError, SimulatorError
from agentgym.playing.attempt import Attempt, Part
from agentgym.recording.waiting import Waiting

_OPTION = "(--agentgym-timeout)"


def time_out(
    attempt: Attempt, part: Part, limit: float, simulated: float
) -> BaseException:
    """What ended a part of the attempt, with a sentence that says why.

    Time that the agent waited for its model, or for a judge or a simulated user, is
    not its own; where that is most of the time, who was waited for is to blame.

    Args:
        attempt: It has not ended in time.
        part: The part of it that used up its time.
        limit: Seconds that a part may take.
        simulated: Seconds of this part that judge and simulated users took.
    """
    if part == "tear-down":
        # What it waits for is not the agent's doing.
        return _fixture(attempt, part, limit)
    waiting = attempt.recorder.waiting(attempt.part_begun)
    if waiting.seconds + simulated > limit / 2:
        if simulated > waiting.seconds:
            return SimulatorError(
                f"judge and simulated user took {simulated:.0f} s of the episode's "
                f"{limit:g} s {_OPTION}"
            )
        return InfraError(_waited(attempt, waiting, limit))
    if part == "set-up":
        return _fixture(attempt, part, limit)
    return EpisodeTimeout(f"the agent did not stop within {limit:g} s {_OPTION}")


def _fixture(attempt: Attempt, part: Part, limit: float) -> HarnessError:
    busy = None if attempt.world is None else attempt.world.busy_with
    where = "" if busy is None else f" of the fixture {busy!r}"
    return HarnessError(f"the {part}{where} did not end within {limit:g} s {_OPTION}")


def _waited(attempt: Attempt, waiting: Waiting, limit: float) -> str:
    silent = attempt.recorder.model_in_flight()
    if silent is not None and silent > limit / 2:
        return f"the model gave no answer for {silent:.0f} s"
    calls = f"{waiting.calls} call{'s' * (waiting.calls != 1)}"
    refused = f", {waiting.refused} of them refused" if waiting.refused else ""
    return (
        f"the agent waited {waiting.seconds:.1f} s of its {limit:g} s for the model "
        f"({calls}{refused}) {_OPTION}"
    )
