"""What ssh says when it reaches no machine, as one sentence with what to do."""

from __future__ import annotations

from agentgym.errors import AgentGymError, UsageError
from agentgym.remote.machine import ConnectionLost

SSH_FAILED = 255
"""What ssh ends with where it is ssh that failed."""

_MENDED_BY_USER = (
    (
        ("REMOTE HOST IDENTIFICATION HAS CHANGED",),
        "its host key is another one than the one that you know: find out why, and "
        "remove the old one with: ssh-keygen -R {address}",
    ),
    (
        ("Host key verification failed", "host key is known for"),
        "its host key is not known yet: connect once with `ssh {host}`, and compare "
        "the fingerprint before you say yes",
    ),
    (
        ("Permission denied", "Too many authentication failures"),
        "it takes none of your keys, or asks for a password, which nobody could type "
        "here: put a key there with `ssh-copy-id {host}`, or load it with `ssh-add`",
    ),
    (
        ("Could not resolve hostname",),
        "there is no machine of this name: mend --ssh, or add it to ~/.ssh/config",
    ),
    (
        ("Bad configuration option", "configuration options", "Can't open user config"),
        "ssh cannot read its settings",
    ),
)


def failure_of(host: str, said: str) -> AgentGymError:
    """The error that belongs to what ssh said.

    Args:
        host: What it was to connect to.
        said: Its standard error.

    Returns:
        A `UsageError` where the user has to do something; else it may be tried again.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "ssh ended without a word"
    for texts, sentence in _MENDED_BY_USER:
        if any(text in said for text in texts):
            address = host.rpartition("@")[2]
            what = sentence.format(host=host, address=address)
            return UsageError(f"--ssh {host}: {what} (ssh says: {last})")
    return ConnectionLost(f"{host} is not reached (ssh says: {last})")
