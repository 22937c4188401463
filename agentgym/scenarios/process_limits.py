"""What an episode that has a process of its own may use up."""

from __future__ import annotations

from dataclasses import dataclass

from agentgym.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """Limits of an episode's process: `@scenario(isolation=ProcessLimits(...))`.

    `isolation="process"` means these, as they are here.

    Attributes:
        memory_mib: MiB of addresses beyond those that the process begins with. What
            asks for more gets a `MemoryError`. macOS does not enforce it.
        cpu_seconds: Seconds of processor time; then the process is ended.
        file_mib: MiB of the largest file that it may write.
        open_files: Files and connections that may be open at a time.
        environment: Variables that it keeps although their names say that they are
            secret, such as OPENAI_API_KEY. All others of that kind are taken away.

    Raises:
        UsageError: A limit is not positive, or `environment` holds no names.
    """

    memory_mib: int = 2048
    cpu_seconds: int = 300
    file_mib: int = 256
    open_files: int = 256
    environment: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("memory_mib", "cpu_seconds", "file_mib", "open_files"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(
                    f"ProcessLimits({name}={value!r}): give a whole number of at least "
                    "1"
                )
        names: object = self.environment
        if not isinstance(names, tuple) or not all(isinstance(n, str) for n in names):
            raise UsageError(
                f"ProcessLimits(environment={names!r}): give a tuple of the names of "
                'variables, such as ("OPENAI_API_KEY",)'
            )
