"""Trained agents: saved by a training, loaded back by name, served, used."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.policy.adapter_folder import check_adapter
from agentgym.policy.agent_folder import (
    CARD,
    FORMAT,
    base_folder,
    check_name,
    find_agent,
    is_agent,
    save_agent,
)
from agentgym.policy.folder import check_folder, weights_digest

if TYPE_CHECKING:
    from agentgym.policy.process import PolicyProcess

__all__ = ["TrainedAgent", "check_name", "is_agent", "save_agent"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedAgent:
    """A version of a trained agent.

    Attributes:
        name: Its name.
        version: Its version, such as "1.2".
        base: Folder of the base model.
        adapter: Folder of its LoRA adapter, which peft can load, too.
        about: What `agent.json` says.
    """

    name: str
    version: str
    base: Path
    adapter: Path
    about: dict[str, Any] = field(repr=False)
    _servers: list[PolicyProcess] = field(default_factory=list, init=False, repr=False)
    _door: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False
    )

    @classmethod
    def load(cls, ref: str | Path, root: Path | None = None) -> TrainedAgent:
        """Loads a trained agent.

        Args:
            ref: Name and version ("customer_support_v1.2"), a name for its latest
                version, or the path of a version's or an agent's folder.
            root: Names are looked up in `.agentgym/agents` of this folder and those
                above it; by default of the current one.

        Raises:
            UsageError: There is none, its files are corrupted, or its base model is
                missing or another one.
        """
        folder = find_agent(ref, root)
        about = _read_card(folder)
        check_adapter(folder)
        base = base_folder(about["base"]["spec"])
        what = f"{about['name']}_v{about['version']}"
        if not base.is_dir():
            raise UsageError(
                f"the base model of {what} is missing: {base} does not exist"
            )
        check_folder(base)
        if weights_digest(base) != about["base"]["digest"]:
            raise UsageError(
                f"{what} was trained on another base model than the one that is now "
                f"in {base}: its weights have changed since; train again"
            )
        return cls(
            name=about["name"],
            version=about["version"],
            base=base,
            adapter=folder,
            about=about,
        )

    def __str__(self) -> str:
        return f"{self.name}_v{self.version}"

    def card(self) -> str:
        """What it was trained on, and how reliable it was before and after."""
        return "\n".join(f"{name:<12}{text}" for name, text in self._facts())

    def serve(self, port: int = 0) -> PolicyProcess:
        """Starts an OpenAI-compatible server for it, which ends with this process.

        Args:
            port: Where it listens on this machine; 0 for any free port.

        Returns:
            The running server; `with` stops it, and `endpoint` says where it is.

        Raises:
            UsageError: It cannot be started.
        """
        from agentgym.policy.process import PolicyProcess

        return PolicyProcess.start(
            self.base, adapter=self.adapter, name=str(self), port=port
        )

    def to_langchain(
        self, tools: Sequence[Any], instructions: str | None = None
    ) -> Any:
        """Makes a LangChain agent of it, on a server that ends with this process.

        Args:
            tools: Functions with type hints and docstrings, or LangChain tools.
            instructions: The system prompt.

        Raises:
            UsageError: LangChain is not installed, or the server cannot be started.
        """
        from agentgym.integrations.shipped import (
            check_langchain,
            create_langchain_agent,
        )

        check_langchain(
            "to_langchain() needs LangChain: pip install 'agentgym[langchain]'"
        )
        with self._door:
            if not self._servers or not self._servers[-1].alive():
                self._servers.append(self.serve())
                # It is also held there: the agent may outlive this object.
                atexit.register(self._servers[-1].stop)
            endpoint = self._servers[-1].endpoint
        return create_langchain_agent(endpoint, tools, instructions, max_retries=2)

    def _facts(self) -> list[tuple[str, str]]:
        about = self.about
        base = about["base"]
        facts = [
            ("agent", f"{self}, saved {about.get('created', 'at an unknown time')}"),
            ("base model", f"{base['spec']} (sha256 {base['digest'][:12]})"),
        ]
        scenarios = [s["scenario"] for s in about.get("scenarios", ())]
        facts += [("" if i else "scenarios", name) for i, name in enumerate(scenarios)]
        for key in ("before", "after"):
            if about.get(key):
                facts.append((key, f"{_percent(about[key])} on held-out cases"))
        if about.get("difference"):
            facts.append(("difference", _points(about["difference"])))
        effort = [f"{about[k]:,} {k}" for k in ("episodes", "updates") if k in about]
        if about.get("seconds") is not None:
            effort.append(f"{about['seconds'] / 60:.1f} minutes")
        if effort:
            facts.append(("training", ", ".join(effort)))
        return facts


def _percent(found: dict[str, float]) -> str:
    text = f"{100 * found['value']:.1f} %"
    if found.get("low") is None or found.get("high") is None:
        return text
    return f"{text} ({100 * found['low']:.1f} to {100 * found['high']:.1f} %)"


def _points(found: dict[str, float]) -> str:
    text = f"{100 * found['value']:+.1f} points"
    if found.get("low") is None or found.get("high") is None:
        return text
    return f"{text} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def _read_card(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        format_ = about["format"]
        texts = (about["name"], about["version"])
        base = (about["base"]["spec"], about["base"]["digest"])
        if not all(isinstance(text, str) for text in (*texts, *base)):
            raise TypeError("a field has the wrong type")
        if not isinstance(format_, int):
            raise TypeError(f"format is {format_!r}")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except KeyError as error:
        raise UsageError(f"{file} is corrupted: it has no {error}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file} is corrupted: {error}") from error
    if format_ > FORMAT:
        raise UsageError(
            f"{file} has format {format_}, which this version of agentgym cannot read: "
            "update agentgym"
        )
    found: dict[str, Any] = about
    return found
