"""Whose fault it is when a model server answers 200 with what is no answer."""

from __future__ import annotations

import pytest

CONFTEST = """
    import httpx
    import openai
    import pytest

    from agentgym.integrations.openai import record_openai

    @pytest.fixture
    def agent(case, how):
        kind = {"content-type": "application/json"}
        answer = lambda _: httpx.Response(200, text=case.value, headers=kind)
        http = httpx.Client(transport=httpx.MockTransport(answer))
        client = openai.OpenAI(
            base_url="http://model.invalid/v1", api_key="none", http_client=http
        )
        if how != "unrecorded":
            record_openai(client)

        def ask(message):
            said = [{"role": "user", "content": message}]
            answer = client.chat.completions.create(model="m", messages=said)
            return answer.choices[0].message.content

        def ask_politely(message):
            try:
                return ask(message)
            except Exception:
                return "We are busy."

        return ask if how == "plain" else ask_politely
"""
SCENARIO = """
    from agentgym import scenario

    ANSWERS = {answers}

    @scenario(cases=ANSWERS, episodes=len(ANSWERS))
    def test_reply(agent, how):
        assert agent.run("When does my parcel arrive?").reply
"""
BROKEN = ['{"id": "1", "choi', "null", '{"choices": null}', '{"error": {"code": 503}}']


@pytest.mark.slow  # importing openai, and the pauses between attempts
@pytest.mark.parametrize("how", ["plain", "polite", "unrecorded"])
def test_an_answer_that_is_none_is_the_servers_fault(gym, how):
    gym.conftest(CONFTEST + f"\n    @pytest.fixture\n    def how(): return {how!r}\n")
    gym.file(SCENARIO.format(answers=BROKEN))
    result = gym.start("--agentgym-infra-retries", "1")
    assert result.ret == 6
    episodes = gym.episodes()
    assert [episode["outcome"] for episode in episodes] == ["infra_error"] * 4
    assert {episode["attempts"] for episode in episodes} == {2}


@pytest.mark.slow
def test_an_error_that_blames_the_request_is_the_agents(gym):
    gym.conftest(CONFTEST + "\n    @pytest.fixture\n    def how(): return 'plain'\n")
    body = '{"error": {"type": "invalid_request_error", "message": "too long"}}'
    gym.file(SCENARIO.format(answers=[body]))
    assert gym.start().ret == 1
    assert [episode["outcome"] for episode in gym.episodes()] == ["failed"]
