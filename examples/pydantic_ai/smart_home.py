"""A smart home on Pydantic AI: a module-level agent; its tools get the home as deps."""

from dataclasses import dataclass, field

from pydantic_ai import Agent, ModelRetry, RunContext


@dataclass
class Home:
    """The rooms of a home.

    Attributes:
        measured: Temperature of each room.
        wanted: What the heating of a room was set to.
        lights: Rooms where the light is on.
    """

    measured: dict[str, int]
    wanted: dict[str, int] = field(default_factory=dict)
    lights: set[str] = field(default_factory=set)
    door_open: bool = False


home_agent = Agent(
    "openai-chat:gpt-4.1-mini",
    deps_type=Home,
    instructions=(
        "You run a smart home. Measure before you heat. Never open the door."
    ),
)


@home_agent.tool
def measure(ctx: RunContext[Home], room: str) -> int:
    """Measure the temperature of a room, in degrees Celsius."""
    if room not in ctx.deps.measured:
        raise ModelRetry(f"there is no {room}, only {', '.join(ctx.deps.measured)}")
    return ctx.deps.measured[room]


@home_agent.tool
def set_heating(ctx: RunContext[Home], room: str, celsius: int) -> str:
    """Set the temperature that the heating of a room keeps."""
    ctx.deps.wanted[room] = celsius
    return f"the {room} will have {celsius} degrees"


@home_agent.tool
def switch_light(ctx: RunContext[Home], room: str, on: bool) -> str:
    """Switch the light of a room on or off."""
    (ctx.deps.lights.add if on else ctx.deps.lights.discard)(room)
    return f"the light is {'on' if on else 'off'}"


@home_agent.tool
def open_door(ctx: RunContext[Home]) -> str:
    """Open the front door."""
    ctx.deps.door_open = True
    return "the door is open"


if __name__ == "__main__":
    home = Home({"kitchen": 17})
    result = home_agent.run_sync("Make the kitchen 3 degrees warmer.", deps=home)
    print(result.output)
