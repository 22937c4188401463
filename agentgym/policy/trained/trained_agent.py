"""Trained agents: saved by a training, loaded back by name, served, used."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.policy.folders.adapter_folder import WEIGHTS, check_adapter
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.folders.weights_digest import weights_digest
from agentgym.policy.trained.agent_folder import base_folder, find_agent
from agentgym.policy.trained.card import card_text, read_card
from agentgym.policy.trained.sharing import R, Shared
from agentgym.policy.trained.trained_prompt import TrainedPrompt

if TYPE_CHECKING:
    from agentgym.policy.server.process import PolicyProcess
    from agentgym.policy.trained.clients import OpenAIEndpoint

_shared = Shared()


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedAgent:
    """A version of a trained agent.

    What its `to_*` methods make shares one server with all that is made of the same
    version in this process. The server ends with the process, or when each trained
    agent that uses it is closed: `with TrainedAgent.load(...) as trained:`.

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
        about = read_card(folder)
        check_adapter(folder)
        what = f"{about['name']}_v{about['version']}"
        base = _base(what, about["base"])
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
        return card_text(str(self), self.about)

    @property
    def template(self) -> dict[str, Any]:
        """Variables of the chat template that it was trained with."""
        given = self.about.get("config", {}).get("chat_template_kwargs")
        return dict(given or {})

    def serve(self, port: int = 0) -> PolicyProcess:
        """Starts an OpenAI-compatible server for it, which ends with this process.

        Args:
            port: Where it listens on this machine; 0 for any free port.

        Returns:
            The running server; `with` stops it, and `endpoint` says where it is.

        Raises:
            UsageError: It cannot be started.
        """
        from agentgym.policy.server.process import PolicyProcess

        return PolicyProcess.start(
            self.base,
            adapter=self.adapter,
            name=str(self),
            port=port,
            template=self.template,
        )

    def to_openai(self, *, in_process: bool = False) -> OpenAIEndpoint:
        """Where it is, with a ready `client` and `async_client` of OpenAI's library.

        Args:
            in_process: Loads the model into this process, for these clients only: there
                is no server and no port.

        Raises:
            UsageError: The library is not installed, or the model cannot be loaded.
        """
        from agentgym.policy.trained.clients import check_framework

        check_framework("to_openai", "OpenAI's client")
        return self._in_process() if in_process else self._endpoint()

    @property
    def prompt(self) -> TrainedPrompt:
        """The prompt and the tools that it was trained with."""
        return TrainedPrompt.of(str(self), self.about)

    def to_langchain(
        self,
        tools: Sequence[Any] | None = None,
        instructions: str | None = None,
        *,
        in_process: bool = False,
        middleware: Sequence[Any] = (),
        **settings: Any,
    ) -> Any:
        """Makes a LangChain agent of it.

        Args:
            tools: Functions with type hints and docstrings, or LangChain tools; None
                for those of the scenario pack that it was trained on.
            instructions: The system prompt; None for the one that it was trained with.
            in_process: Loads the model into this process, and needs no port.
            middleware: Comes after the one that tells the model what a tool raised.
            settings: For LangChain's `create_agent`: `checkpointer`, `name`, ...

        Raises:
            UsageError: LangChain is not installed, a tool cannot be one, or the model
                cannot be loaded.
        """
        from agentgym.policy.trained.clients import check_framework, langchain_agent

        check_framework("to_langchain", "LangChain")
        tools = self.prompt.tools_for("to_langchain", tools)
        instructions = self.prompt.system_for("to_langchain", instructions)
        policy = self._in_process if in_process else self._endpoint
        return langchain_agent(policy, tools, instructions, middleware, settings)

    def to_crewai(
        self,
        *,
        role: str | None = None,
        goal: str | None = None,
        backstory: str | None = None,
        tools: Sequence[Any] | None = None,
        **settings: Any,
    ) -> Any:
        """Makes a CrewAI `Agent` of it.

        Args:
            role: Its role in the crew.
            goal: What it is to achieve.
            backstory: More of its system prompt. What of these three is None is as it
                was trained, where that was by CrewAI; else its prompt is the goal.
            tools: Functions with type hints and docstrings, or CrewAI tools; None for
                those of the scenario pack that it was trained on.
            settings: For CrewAI's `Agent`: `max_iter`, `verbose`, ...

        Raises:
            UsageError: CrewAI is not installed, a tool cannot be one, or the server
                cannot be started.
        """
        from agentgym.policy.trained.clients import check_framework, crewai_agent

        check_framework("to_crewai", "CrewAI")
        given = {"role": role, "goal": goal, "backstory": backstory}
        settings |= self.prompt.crew()
        settings |= {key: text for key, text in given.items() if text is not None}
        tools = self.prompt.tools_for("to_crewai", tools)
        return crewai_agent(self._endpoint, tools, settings)

    def to_autogen(
        self,
        *,
        name: str = "assistant",
        tools: Sequence[Any] | None = None,
        system_message: str | None = None,
        max_tool_iterations: int = 10,
        **settings: Any,
    ) -> Any:
        """Makes an AutoGen `AssistantAgent` of it.

        Args:
            name: Its name among AutoGen's agents: a Python identifier.
            tools: Functions with type hints and docstrings, or AutoGen tools; None for
                those of the scenario pack that it was trained on.
            system_message: The system prompt; None for the one that it was trained
                with.
            max_tool_iterations: The most rounds of tool calls before it must answer;
                AutoGen's own default of 1 ends with the first.
            settings: For AutoGen's `AssistantAgent`: `description`, `memory`, ...

        Raises:
            UsageError: AutoGen is not installed, a tool or the name cannot be one, or
                the server cannot be started.
        """
        from agentgym.policy.trained.clients import autogen_agent, check_framework

        check_framework("to_autogen", "AutoGen")
        system_message = self.prompt.system_for("to_autogen", system_message)
        tools = self.prompt.tools_for("to_autogen", tools)
        settings |= {"name": name, "system_message": system_message}
        settings["max_tool_iterations"] = max_tool_iterations
        return autogen_agent(self._endpoint, tools, settings)

    def merge(self, path: str | Path, dtype: str | None = None) -> Path:
        """Writes base model and adapter as one plain Hugging Face model.

        Args:
            path: The new folder.
            dtype: "float32", "float16" or "bfloat16"; None: as the base model is
                stored. A half rounds what the training changed with the rest.

        Returns:
            The new folder.

        Raises:
            UsageError: It is there and not empty, or cannot be written.
        """
        from agentgym.policy.server.process import check_installed

        check_installed()
        from agentgym.policy.trained.merging import merge

        return merge(self.base, self.adapter, Path(path), name=str(self), dtype=dtype)

    def vllm_command(self, port: int = 8000) -> str:
        """The shell line that serves it with vLLM, by its name.

        It names vLLM's parsers of the model's tool calls and thoughts. Nothing is run.

        Args:
            port: Where vLLM listens.

        Raises:
            UsageError: This is no port, or vLLM cannot serve such an adapter or such
                tool calls.
        """
        from agentgym.policy.server.process import check_installed

        check_installed()
        from agentgym.policy.trained.vllm import command

        dtype = self.about.get("config", {}).get("dtype", "auto")
        return shlex.join(
            command(
                self.base,
                self.adapter,
                str(self),
                port,
                dtype=None if dtype == "auto" else dtype,
                template=self.template,
            )
        )

    def close(self) -> None:
        """Ends what only agents made of this object use; harmless at any time."""
        _shared.release(self)

    def __enter__(self) -> TrainedAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _endpoint(self) -> OpenAIEndpoint:
        from agentgym.policy.trained.clients import OpenAIEndpoint

        at = self._running("server", self.serve).endpoint
        return OpenAIEndpoint(at.base_url, at.api_key, at.model)

    def _in_process(self) -> OpenAIEndpoint:
        from agentgym.policy.server.process import check_installed
        from agentgym.policy.trained.clients import OpenAIEndpoint

        check_installed()
        from agentgym.policy.server.in_process import InProcessPolicy

        policy = self._running(
            "in process",
            lambda: InProcessPolicy(
                self.base,
                adapter=self.adapter,
                name=str(self),
                template=self.template,
            ),
        )
        at = policy.endpoint
        return OpenAIEndpoint(
            at.base_url, at.api_key, at.model, _transport=policy.transport
        )

    def _running(self, how: str, start: Callable[[], R]) -> R:
        weights = self.adapter.resolve() / WEIGHTS
        # A version that was deleted and trained again is another one.
        key = (how, self.base.resolve(), weights, weights.stat().st_mtime_ns)
        return _shared.get(key, self, start)


def _base(what: str, entry: dict[str, Any]) -> Path:
    """The folder of an agent's base model, which is the one that it was trained on.

    Args:
        what: The agent's name and version.
        entry: What its card says of the base model.
    """
    try:
        base = base_folder(entry)
    except UsageError as error:
        raise UsageError(f"the base model of {what} is missing: {error}") from error
    # Of a name that no folder can have, pathlib raises an error.
    if not os.path.isdir(base):
        raise UsageError(
            f"the base model of {what} is missing: {shown(base)} does not exist"
        )
    check_folder(base)
    # A commit of the hub is always the same; others add files of their own to its
    # snapshot, such as the weights in another format.
    pinned = entry.get("revision") is not None
    if not pinned and weights_digest(base) != entry["digest"]:
        raise UsageError(
            f"{what} was trained on another base model than the one that is now "
            f"in {base}: its weights have changed since; train again"
        )
    return base
