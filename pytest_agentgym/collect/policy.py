"""The policy behind the `policy` fixture: one per run, started when first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.runs.summary_json import SampledJson

API_KEY = "AGENTGYM_API_KEY"
"""Environment variable with the key that is sent to a policy endpoint's URL."""


class RunPolicy:
    """Finds or starts the policy endpoint of a run; xdist workers share one server.

    Args:
        spec: `--agentgym-policy`.
        folder: Folder that all processes of the run share.
        main_pid: The main process; the server ends with it.
        say: Shows a line while the server starts.
        root: The project, whose trained agents can be named.
        engine: What samples: "auto", "own" or "vllm".
        found: Folder of a model of the hub, where the main process has found it.
        device: What samples a local policy; None: a GPU if there is one.
        template: Variables of a local policy's chat template.

    Attributes:
        in_flight: Episodes in flight that keep a policy busy whose server was started
            for the run; None for others.
    """

    def __init__(
        self,
        spec: str,
        folder: Path,
        main_pid: int,
        say: Callable[[str], None],
        root: Path | None = None,
        engine: str = "auto",
        found: str | None = None,
        device: str | None = None,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec = spec
        self._folder = folder / "policy-server"
        self._main_pid = main_pid
        self._say = say
        self._root = root
        self._engine = engine
        self._found = found
        self._device = device
        self._template = template
        self._lock = threading.Lock()
        self._endpoint: PolicyEndpoint | None = None
        self._local = False
        self._may_find = True
        self._pid: int | None = None
        self.in_flight: int | None = None

    def endpoint(self) -> PolicyEndpoint:
        """Where the agent reaches the policy; a server that died is started again.

        Raises:
            UsageError: No such model, nothing answers at the URL, or the server dies
                again and again.
        """
        with self._lock:
            if self._endpoint is None:
                self._endpoint = self._find()
            elif self._pid is not None and not _alive(self._pid):
                self._endpoint = self._find(again=True)
            return self._endpoint

    @property
    def restarts(self) -> int:
        """How often a process of the run started a server again that had died."""
        if not self._folder.exists():
            return 0
        from agentgym.policy.server.process import starts_of

        return max(0, starts_of(self._folder) - 1)

    def prepare(self) -> str | None:
        """Main process: looks for what the run needs before anyone plays.

        A model of the hub is found or downloaded.

        Returns:
            The model's folder, for the workers; None if it is no model of the hub.

        Raises:
            UsageError: It cannot be had, or the engine is not installed.
        """
        from agentgym.endpoint import split_url_and_model
        from agentgym.policy.folders.hub_download import find_hub_model, is_hub_name

        if self._engine == "vllm" and split_url_and_model(self.spec) is None:
            from agentgym.policy.vllm_engine.choice import find_program

            find_program()
        if is_hub_name(self.spec):
            model = find_hub_model(self.spec)
            self._say(f"agentgym: the policy is {model}")
            self._found = str(model.folder)
        return self._found

    def sampled(self) -> SampledJson | None:
        """What samples it for the run; None for another's server.

        Raises:
            UsageError: There is no such policy any more.
            OSError: Its weights cannot be read.
        """
        from agentgym.policy.trained.sampling_choice import sampled_by

        return sampled_by(
            self._found or self.spec,
            self._engine,
            root=self._root,
            device=self._device,
        )

    def of_episode(self, name: str) -> PolicyEndpoint:
        """Where one episode's agent reaches the policy: it draws as the name says.

        Others' servers have one address for all.

        Args:
            name: Of the episode, the same in each run that is to draw the same; it
                fits an address.

        Raises:
            UsageError: No such model, or nothing answers at the URL.
        """
        endpoint = self.endpoint()
        if not self._local:
            return endpoint
        root = endpoint.base_url.removesuffix("/v1")
        return replace(endpoint, base_url=f"{root}/episode/{name}/v1")

    def any_model_url(self, endpoint: PolicyEndpoint) -> str:
        """Where an agent can ask for a model by whatever name it knows.

        Others' servers have no such address: there the agent has to name a model that
        is known.
        """
        own = self._endpoint
        root = "" if own is None else own.base_url.removesuffix("/v1") + "/"
        if not self._local or not endpoint.base_url.startswith(root):
            return endpoint.base_url
        return endpoint.base_url.removesuffix("/v1") + "/any/v1"

    def known(self) -> dict[str, Any] | None:
        """What another process is told of the endpoint; None if nobody asked for it."""
        if self._endpoint is None:
            return None
        return {"endpoint": asdict(self.endpoint()), "local": self._local}

    def know(self, known: Mapping[str, Any] | None) -> None:
        """Takes in what the process says that found the endpoint; none is found here.

        Args:
            known: What `known` returned there.
        """
        from agentgym.endpoint import PolicyEndpoint

        self._may_find = False
        if known is not None:
            self._endpoint = PolicyEndpoint(**known["endpoint"])
            self._local = known["local"]

    def _find(self, *, again: bool = False) -> PolicyEndpoint:
        from agentgym.errors import UsageError

        if not self._may_find:
            raise UsageError(
                "an isolated episode asks for the policy in the middle of it: name "
                "`policy` as an argument of the scenario or of a fixture, so that it "
                "is there before, instead of request.getfixturevalue()"
            )
        from agentgym.playing.in_flight import local_concurrency
        from agentgym.policy.engine.devices import on_gpu
        from agentgym.policy.folders.weight_files import parameter_count
        from agentgym.policy.server.process import shared
        from agentgym.policy.trained.resolve import Remote
        from agentgym.policy.trained.sampling_choice import measured_by

        # Kept out of the command line, which others can see.
        key = os.environ.get(API_KEY) or "agentgym"
        spec = self._found or self.spec
        resolved, vllm = measured_by(spec, self._engine, api_key=key, root=self._root)
        self._local = not isinstance(resolved, Remote)
        if isinstance(resolved, Remote):
            if self._device is not None:
                raise UsageError(
                    f"--agentgym-devices sampler={self._device}: {self.spec} is not "
                    "sampled by this run; leave the option out"
                )
            if self._template:
                raise UsageError(
                    f"--agentgym-chat-template-kwargs: {self.spec} is not served by "
                    "this run; leave the option out, and let the agent's requests say "
                    "it"
                )
            return resolved.endpoint
        if not again:
            # Later it is found in a thread of an episode's, which has no terminal.
            self._say(f"agentgym: loading the policy {self.spec}")
        self.in_flight = local_concurrency(
            parameter_count(resolved.path), gpu=on_gpu(self._device)
        )
        endpoint, self._pid = shared(
            resolved.path,
            self._folder,
            adapter=resolved.adapter,
            exit_with=self._main_pid,
            name=resolved.name,
            vllm=vllm,
            device=self._device or "auto",
            template=self._template or resolved.template,
        )
        return endpoint


def _alive(pid: int) -> bool:
    from agentgym.policy.server.process import alive

    return alive(pid)


def asks_policy(item: pytest.Function) -> bool:
    """Whether its episodes got the policy, by an argument or `getfixturevalue`."""
    return "policy" in item.fixturenames or item.stash.get(POLICY_ASKED, False)


POLICY_ASKED = pytest.StashKey[bool]()
"""Of an item whose episodes got the policy, by whichever way."""
POLICY = pytest.StashKey[RunPolicy]()
