"""The errors of this package.

AgentGymError
├── UsageError            the user's mistake: one clear sentence
├── AgentError            the agent's doing: the episode failed
│   ├── EpisodeTimeout
│   └── ToolCallLimit
├── InfraError            model server, network, rate limit, quota
├── HarnessError          fixture or plugin
└── SimulatorError        a simulated user or judge
EpisodeStopped            ends the thread of an abandoned episode (a BaseException)
"""


class AgentGymError(Exception):
    """Base of all errors of this package."""


class UsageError(AgentGymError):
    """A mistake of the user; the text says what is wrong, where, and what to do.

    It may quote somebody else's file, so it never has what a terminal would obey.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class AgentError(AgentGymError):
    """The agent's doing."""


class EpisodeTimeout(AgentError):
    """The agent did not stop in time."""


class ToolCallLimit(AgentError):
    """The agent called more tools than an episode allows."""


class InfraError(AgentGymError):
    """The model server, the network, a rate limit or a quota."""


class HarnessError(AgentGymError):
    """A fixture, an environment or the plugin."""


class SimulatorError(AgentGymError):
    """A simulated user or a judge."""


class EpisodeStopped(BaseException):
    """Ends the thread of an episode that was abandoned; nothing should catch it."""


def visible(text: str) -> str:
    """The text with escape sequences and what turns its direction spelled out."""
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else ascii(c)[1:-1] for c in text)


def _is_shown(character: str) -> bool:
    import unicodedata

    # Spaces of all widths are no printable characters to Python.
    return (
        character.isprintable()
        or character in "\n\t"
        or unicodedata.category(character) == "Zs"
    )
