"""`--agentgym-devices`: where a policy samples and is trained."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

SCENARIO = """
    import urllib.request, json
    from agentgym import scenario

    @scenario(episodes=2)
    def test_order(policy):
        request = urllib.request.Request(
            policy.base_url + "/chat/completions",
            json.dumps({
                "model": policy.model,
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 2,
            }).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {policy.api_key}",
            },
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["usage"]["completion_tokens"] <= 2
"""


def sentence_of(result: pytest.RunResult) -> str:
    assert result.ret == 4, result.stdout.str()
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    return lines[0].removeprefix("ERROR: ")


@pytest.mark.parametrize(
    ("given", "arguments", "sentence"),
    [
        ("", (), "'' names neither of the two: as sampler=0,trainer=1, or sampler=cpu"),
        ("0", (), "'0' names neither of the two"),
        ("0,1", (), "'0' names neither of the two"),
        ("sampler", (), "'sampler' names neither of the two"),
        ("sampler=0,judge=1", (), "'judge=1' names neither of the two"),
        ("sampler=", (), "'' is no device: give a GPU's number, cpu, cuda or auto"),
        ("sampler=gpu", (), "'gpu' is no device"),
        ("sampler=-1", (), "'-1' is no device"),
        ("sampler=cuda:x", (), "'cuda:x' is no device"),
        ("sampler=0,sampler=1", (), "sampler is given twice"),
        ("sampler=0,", (), "'' names neither of the two"),
        ("trainer=1", (), "trainer belongs to a training: add --train"),
    ],
)
def test_bad_devices(gym, given, arguments, sentence):
    gym.file(SCENARIO)
    found = sentence_of(gym.run(f"--agentgym-devices={given}", *arguments))
    assert found.startswith(f"--agentgym-devices {given}: {sentence}")


def test_a_policy_on_the_cpu(gym):
    gym.file(SCENARIO)
    result = gym.run("--agentgym-devices=sampler=cpu")
    assert result.ret == 0, result.stdout.str()


def test_a_gpu_that_is_not_there(gym):
    gym.file(SCENARIO)
    result = gym.run("--agentgym-devices=sampler=99")
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert "device 'cuda:99' cannot be used" in text
    assert "Traceback" not in text
