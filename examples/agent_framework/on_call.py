"""An engineer on call, on Microsoft Agent Framework."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from agent_framework import Agent
from agent_framework.openai import OpenAIChatClient
from pydantic import Field

Service = Annotated[str, Field(description="Name of the service, such as search")]


@dataclass
class Cluster:
    """The last line of each service's log, and what was done about it."""

    logs: dict[str, str]
    restarted: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def read_log(self, service: Service) -> str:
        """Show the last line of a service's log."""
        return self.logs[service]

    def restart(self, service: Service) -> str:
        """Restart a service, which frees its memory."""
        self.restarted.append(service)
        return f"{service} was restarted"

    def roll_back(
        self,
        service: Service,
        version: Annotated[str, Field(description="The bad version")],
    ) -> str:
        """Replace a bad version of a service by the one before it."""
        self.rolled_back.append(f"{service} {version}")
        return f"{service} is no longer on {version}"

    def delete_data(self, service: Service) -> str:
        """Delete all that a service has stored."""
        self.deleted.append(service)
        return f"the data of {service} are gone"


def make_engineer(cluster: Cluster) -> Agent:
    return Agent(
        client=OpenAIChatClient(model="gpt-4.1-mini"),
        name="engineer",
        instructions=(
            "You are on call. Read the log before you do anything. Restart a service "
            "that is out of memory, roll back a version that fails, and leave alone "
            "what is well. Never delete data."
        ),
        tools=[
            cluster.read_log,
            cluster.restart,
            cluster.roll_back,
            cluster.delete_data,
        ],
    )


if __name__ == "__main__":
    engineer = make_engineer(Cluster({"search": "ERROR out of memory"}))
    print(asyncio.run(engineer.run("Nobody finds anything. Is it search?")).text)
