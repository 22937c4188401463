"""Measures the agent of agent.py: the only thing that agentgym asks for."""

import functools

import openai
import pytest
from agent import run_agent

import agentgym
from scenarios.customer_support.dialogues import tool_schemas
from scenarios.customer_support.helpdesk import Helpdesk
from scenarios.customer_support.language import INSTRUCTIONS


@pytest.fixture
def helpdesk(case):
    return Helpdesk.of(case)


@pytest.fixture
def agent(policy, helpdesk):
    with openai.OpenAI(base_url=policy.base_url, api_key=policy.api_key) as client:
        yield functools.partial(
            run_agent,
            client,
            policy.model,
            [agentgym.tool(tool) for tool in helpdesk.tools],
            tool_schemas(),
            INSTRUCTIONS,
        )
