"""The policy server of a training, and the policy versions that it serves."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agentgym.errors import AgentGymError, InfraError, UsageError
from agentgym.policy.server.process import RESTARTS, PolicyProcess
from agentgym.policy.vllm_engine.choice import VllmChoice
from agentgym.training.hub.gateway import Gateway

_DYING_SECONDS = 5.0
"""How long a server that no longer answers may take to end."""


class PolicyHost:
    """Serves one version at a time; a server that dies is replaced.

    Args:
        base: Folder of the base model.
        folder: Where the versions' adapters are kept, one folder each.
        gateway: Where each version is published.
        log: Gets the server's output.
        device: "auto", "cpu", "cuda", ...
        dtype: "auto", "float32", ...
        vllm: The vLLM that samples; None for our own engine.
        template: Variables of the chat template.
        given_up: Whether nobody waits for the server to start any more.
        say: Tells the user that the server had to be started again.

    Attributes:
        version: The version that is served; -1 before the first.
        shares_gpu: Whether a vLLM that we started and the trainer are on one GPU.
    """

    def __init__(
        self,
        base: Path,
        folder: Path,
        gateway: Gateway,
        *,
        log: Path,
        device: str = "auto",
        dtype: str = "auto",
        vllm: VllmChoice | None = None,
        template: Mapping[str, Any] | None = None,
        given_up: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.version = -1
        self._say = say
        self.shares_gpu = False
        self._base = base
        self._folder = folder
        self._gateway = gateway
        self._log = log
        self._device, self._dtype = device, dtype
        self._vllm = vllm
        self._template = template
        self._silence: str | None = None
        self._restarts = 0
        self._given_up = given_up
        self._closing = threading.Event()
        self._starter = ThreadPoolExecutor(1, "agentgym-host")
        self._started: Future[PolicyProcess] | None = None

    def start(self) -> None:
        """Begins to start the server; the first version that is published waits."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._started = self._starter.submit(
            PolicyProcess.start,
            self._base,
            log=self._log,
            name="base",
            device=self._device,
            dtype=self._dtype,
            vllm=self._vllm,
            template=self._template,
            adapters=self._folder,
            given_up=lambda: self._closing.is_set() or self._given_up(),
        )

    def adapter(self, version: int) -> Path:
        """The folder of a version's adapter."""
        return self._folder / f"v{version}"

    def write(self, version: int, save: Callable[[Path], None]) -> None:
        """Makes the folder of a version; it is there whole, or not at all.

        Args:
            version: Its number.
            save: Writes the adapter into a folder.
        """
        part = self._folder / f".v{version}.{os.getpid()}.part"
        shutil.rmtree(part, ignore_errors=True)
        save(part)
        target = self.adapter(version)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)

    def publish(self, version: int) -> None:
        """Has every model call from now on answered by this version.

        Raises:
            UsageError: The model cannot be served, or the server dies again and again.
        """
        before = self.version
        self.version = version
        try:
            self._load()
        except InfraError as error:
            if (trouble := self.check()) is not None:
                self._say(trouble)
            if self.revive(_DYING_SECONDS):
                return
            if self._vllm is not None:
                raise self._silent(str(error)) from None
            raise
        if before not in (version, -1):
            # Nothing is asked of it any more: the server drains it by itself.
            # A server that just died is replaced before the next episode.
            with suppress(InfraError):
                self._process().unload_adapter(f"policy-v{before}")

    def revive(self, patience: float = 0) -> bool:
        """Starts a server that died again, with the same version.

        Args:
            patience: Seconds until it may be seen that it died.

        Returns:
            Whether it had died.

        Raises:
            UsageError: It dies again and again.
        """
        if self._started is None or self._process().alive(patience):
            return False
        self._restarts += 1
        if self._restarts > RESTARTS:
            why = "" if self._silence is None else f" ({self._silence})"
            raise UsageError(
                f"the policy server died {self._restarts} times{why}; its output is in "
                f"{self._log}; end what kills it, and go on with --agentgym-resume"
            )
        self.start()
        if self.version >= 0:
            self._load()
        self._say("the policy server had died; it was started again")
        return True

    def sampled(self, prompt: Sequence[int]) -> tuple[list[int], list[float]]:
        """What the base model goes on with, as `PolicyProcess.sample` says.

        Args:
            prompt: Token ids.

        Raises:
            UsageError: What samples is no good, before anything was played.
        """
        process = self._process()
        try:
            return process.sample(prompt, len(prompt))
        except InfraError as error:
            raise UsageError(str(error)) from None

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Leaves the GPU's memory to the trainer, where they share one."""
        if not self.shares_gpu:
            yield
            return
        # Where it has died meanwhile, the next version that is published finds that.
        with suppress(AgentGymError):
            self._process().rest()
        try:
            yield
        finally:
            with suppress(AgentGymError):
                self._process().rest(wake=True)

    def check(self) -> str | None:
        """Looks whether the server has something that samples.

        Returns:
            What was wrong with a vLLM that is started again.

        Raises:
            UsageError: A vLLM that runs elsewhere was silent at the last look, and is.
        """
        vllm = self._vllm
        if vllm is None or self._started is None or not self._started.done():
            return None
        before, self._silence = self._silence, self._process().trouble()
        if self._silence is None:
            return None
        if vllm.starts:
            # `revive` starts the two again.
            self._process().stop()
        elif before is not None:
            raise self._silent(self._silence)
        return self._silence if vllm.starts else None

    def _silent(self, why: str) -> UsageError:
        return UsageError(f"{why}; start it again, and go on with --agentgym-resume")

    def keep_only(self, versions: Collection[int]) -> None:
        """Removes the adapters of all other versions."""
        wanted = {f"v{version}" for version in versions}
        for path in self._folder.iterdir():
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def pause(self) -> None:
        """Ends the server, so that others have its memory; `start` starts it again."""
        if self._started is not None:
            self._process().stop()
            self._started = None
            self.version = -1

    def close(self) -> None:
        """Ends the server, also one that has not begun to answer."""
        self._closing.set()
        if self._started is not None:
            with suppress(AgentGymError):
                self._process().stop()
        self._starter.shutdown()

    def _process(self) -> PolicyProcess:
        """The server, as soon as it answers."""
        assert self._started is not None
        return self._started.result()

    def _load(self) -> None:
        process, name = self._process(), f"policy-v{self.version}"
        if not self.version and not self.adapter(0).exists():
            # Nothing was learned yet, and there is no agent to go on from.
            self._gateway.publish(process.endpoint, process.endpoint.model, 0)
            return
        process.load_adapter(name, self.adapter(self.version))
        self._gateway.publish(process.endpoint, name, self.version)
