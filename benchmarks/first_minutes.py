"""Minutes from an empty folder to a first verdict and to a first trained agent.

    python benchmarks/first_minutes.py [--budget 4m] [FRAMEWORK ...]

Each framework has an empty folder with a new virtual environment, in which a user's
commands run one after the other: the wheel of this checkout is installed with its extra
and `train`, the pack of the help desk is copied, and an agent of that framework is
measured on the embedded policy and trained. LangChain's agent comes with agentgym; of
the others the user writes the fixture below. uv's cache is warm if each was installed
before: `--again` installs twice, and the second time counts.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACK = "customer_support"
FIXTURE = """import pytest
{imports}
from scenarios.customer_support.language import INSTRUCTIONS


@pytest.fixture
def agent(policy, helpdesk):
{body}
"""
OPENAI_CLIENT = """
    client = AsyncOpenAI(base_url=policy.base_url, api_key=policy.api_key)"""
AGENTS = {
    "crewai": (
        "crewai",
        "from crewai import LLM, Agent\nfrom crewai.tools import tool",
        """
    llm = LLM(
        model=f"openai/{policy.model}", base_url=policy.base_url, api_key=policy.api_key
    )
    return Agent(
        role="Support agent",
        goal="Help the customers of the shop",
        backstory=INSTRUCTIONS,
        tools=[tool(each) for each in helpdesk.tools],
        llm=llm,
    )""",
    ),
    "autogen": (
        "autogen",
        "from autogen_agentchat.agents import AssistantAgent\n"
        "from autogen_ext.models.openai import OpenAIChatCompletionClient",
        """
    client = OpenAIChatCompletionClient(
        model=policy.model,
        base_url=policy.base_url,
        api_key=policy.api_key,
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": True,
            "structured_output": True,
            "family": "unknown",
        },
    )
    return AssistantAgent(
        "help_desk",
        model_client=client,
        tools=list(helpdesk.tools),
        system_message=INSTRUCTIONS,
        max_tool_iterations=10,
    )""",
    ),
    "openai_agents": (
        "openai-agents",
        "from agents import Agent, OpenAIChatCompletionsModel, function_tool\n"
        "from openai import AsyncOpenAI",
        OPENAI_CLIENT
        + """
    return Agent(
        name="Help desk",
        instructions=INSTRUCTIONS,
        model=OpenAIChatCompletionsModel(policy.model, client),
        tools=[function_tool(each) for each in helpdesk.tools],
    )""",
    ),
    "pydantic_ai": (
        "pydantic-ai",
        "from openai import AsyncOpenAI\n"
        "from pydantic_ai import Agent, ModelRetry\n"
        "from pydantic_ai.models.openai import OpenAIChatModel\n"
        "from pydantic_ai.providers.openai import OpenAIProvider\n"
        "\n"
        "from scenarios.customer_support.helpdesk import HelpdeskError",
        OPENAI_CLIENT
        + """
    model = OpenAIChatModel(policy.model, provider=OpenAIProvider(openai_client=client))
    return Agent(
        model,
        instructions=INSTRUCTIONS,
        tools=[telling_errors(each) for each in helpdesk.tools],
    )


def telling_errors(tool):
    \"\"\"What a tool cannot do is told to the model.\"\"\"

    @functools.wraps(tool)
    def call(*args, **kwargs):
        try:
            return tool(*args, **kwargs)
        except HelpdeskError as error:
            raise ModelRetry(str(error)) from error

    return call""",
    ),
    "ag2": (
        "ag2",
        "from ag2 import Agent\nfrom ag2.config import OpenAIConfig",
        """
    config = OpenAIConfig(
        policy.model, base_url=policy.base_url, api_key=policy.api_key
    )
    return Agent("help_desk", INSTRUCTIONS, config=config, tools=helpdesk.tools)""",
    ),
    "agent_framework": (
        "agent-framework",
        "from agent_framework import Agent\n"
        "from agent_framework.openai import OpenAIChatCompletionClient\n"
        "from openai import AsyncOpenAI",
        OPENAI_CLIENT
        + """
    return Agent(
        OpenAIChatCompletionClient(policy.model, async_client=client),
        INSTRUCTIONS,
        name="help_desk",
        tools=list(helpdesk.tools),
    )""",
    ),
}
"""By framework: its extra, what the fixture's file imports, what the fixture does."""


class Step(NamedTuple):
    """A command of the user's, the seconds that it took, and what it said."""

    command: str
    seconds: float
    output: str


class Folder:
    """An empty folder with a virtual environment.

    Args:
        path: The folder.
        uv: The program.
    """

    def __init__(self, path: Path, uv: str) -> None:
        self.path, self._uv = path, uv
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, ".venv"],
            cwd=path,
            check=True,
        )

    def run(self, command: str, *, codes: tuple[int, ...] = (0,)) -> Step:
        """Runs a command as in the activated environment.

        Args:
            command: As the user types it.
            codes: Exit codes that are no error.

        Raises:
            SystemExit: Another one.
        """
        binaries = self.path / ".venv" / "bin"
        kept = ("HOME", "LANG", "XDG_CACHE_HOME", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
        environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            **{n: v for n, v in os.environ.items() if n.lower().endswith("_proxy")},
            "PATH": f"{binaries}:{Path(self._uv).parent}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.path / ".venv"),
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_TRACING_ENABLED": "false",
            "OTEL_SDK_DISABLED": "true",
        }
        began = time.monotonic()
        ended = subprocess.run(
            shlex.split(command),
            cwd=self.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        if ended.returncode not in codes:
            raise SystemExit(
                f"{command} ended with {ended.returncode}:\n{ended.stdout}"
            )
        return Step(command, seconds, ended.stdout)

    def megabytes(self, *names: str) -> float:
        """Size of what is installed.

        Args:
            names: How the names of the packages begin; without any, all of them.
        """
        (packages,) = self.path.glob(".venv/lib/python*/site-packages")
        files = [
            file
            for name in names or ("",)
            for folder in packages.glob(f"{name}*")
            for file in (folder.rglob("*") if folder.is_dir() else [folder])
            if file.is_file() and not file.is_symlink()
        ]
        return sum(file.stat().st_size for file in files) / 1e6


def steps(folder: Folder, framework: str, wheel: Path, budget: str) -> Iterator[Step]:
    """What the user does.

    Args:
        folder: Where.
        framework: One of `AGENTS`, or langchain.
        wheel: What is installed.
        budget: Of the training.
    """
    extra = AGENTS[framework][0] if framework in AGENTS else "langchain"
    yield folder.run(
        f"uv pip install 'pytest-agentgym[{extra},train] @ file://{wheel}'"
    )
    scenarios, trained = f"--agentgym-scenario {PACK}", PACK
    if framework in AGENTS:
        yield folder.run(f"agentgym scenarios copy {PACK}")
        _, imports, body = AGENTS[framework]
        imports = "import functools\n\n" * ("functools" in body) + imports
        text = FIXTURE.format(imports=imports, body=body.removeprefix("\n"))
        (folder.path / "conftest.py").write_text(text)
        scenarios = trained = f"scenarios/{PACK}"
    yield folder.run(
        f"pytest --agentgym {scenarios} --agentgym-episodes 8", codes=(0, 1)
    )
    yield folder.run(f"agentgym train {trained} --budget {budget}", codes=(0, 1))


def report(framework: str, done: list[Step], folder: Folder) -> None:
    """Prints a row of the table, and the commands."""
    *earlier, measured, training = done
    verdict = sum(step.seconds for step in (*earlier, measured))
    found = [
        line
        for step in (measured, training)
        for line in re.findall(r"^reliability .*interval.*$", step.output, re.M)[-1:]
    ]
    found += re.findall(r"^(?:before|after) .*", training.output, re.M)
    size, cuda = folder.megabytes(), folder.megabytes("nvidia", "triton")
    written = f", a fixture of {len(FIXTURE.splitlines())}+ lines"
    print(
        f"| {framework} | {len(done)}{written if framework in AGENTS else ''} | "
        f"{verdict / 60:.1f} | {(verdict + training.seconds) / 60:.1f} | "
        f"{size / 1000:.1f} GB ({cuda / 1000:.1f} of it CUDA) |"
    )
    for step in done:
        print(f"    {step.seconds:6.1f} s  {step.command}")
    for line in found:
        print(f"    {line}")
    sys.stdout.flush()


def main() -> None:
    """Prints a row for each framework."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frameworks", nargs="*", default=["langchain", *AGENTS])
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    uv = str(Path(sys.executable).parent / "uv")
    with tempfile.TemporaryDirectory(prefix="first-minutes-") as name:
        dist = Path(name, "dist")
        build = [uv, "build", "--quiet", "--wheel", "--out-dir", str(dist), "."]
        subprocess.run(build, cwd=ROOT, check=True)
        (wheel,) = dist.glob("*.whl")
        for framework in given.frameworks:
            for again in (False, True) if given.again else (True,):
                path = Path(name, framework)
                path.mkdir(exist_ok=True)
                folder = Folder(path, uv)
                if again:
                    done = list(steps(folder, framework, wheel, given.budget))
                    report(framework, done, folder)
                else:
                    next(steps(folder, framework, wheel, given.budget))


if __name__ == "__main__":
    main()
