"""Keys and passwords of all kinds are planted; nothing shows or stores one."""

from __future__ import annotations

import base64
import json
import string
from pathlib import Path

import pytest

LETTERS = string.ascii_letters + string.digits


def made(number: int, length: int = 40) -> str:
    """Characters that a key may have, others for each number."""
    return "".join(
        LETTERS[(7 * number + 11 * k * k + k) % len(LETTERS)] for k in range(length)
    )


def kinds() -> list[str]:
    """Secrets of the usual forms, each one another."""
    forms = [
        *("sk-{}", "sk-proj-{}1", "sk-ant-api03-{}1", "sk-or-v1-{}1", "sk-lf-{}1"),
        *("pk-lf-{}1", "AIza{}", "ya29.{}", "ghp_{}", "gho_{}", "ghs_{}"),
        *("github_pat_{}", "glpat-{}", "xoxb-{}", "xapp-1-{}", "hf_{}", "lsv2_pt_{}"),
        *("gsk_{}", "r8_{}", "xai-{}", "sk_live_{}", "rk_test_{}", "npm_{}"),
        *("pypi-AgEIcHlwaS5vcmc{0}{0}", "Bearer {}1", "bearer 9{}"),
        *("https://keeper:{}@host.example/v1", "http://h.example/?api_key={}"),
        *("http://h.example/v1?a=b&access_token={}", "postgresql://u:{}@db/shop"),
    ]
    found = [form.format(made(number)) for number, form in enumerate(forms)]
    found.append("AKIA" + made(50, 60).upper()[:16])
    found.append("ASIA" + made(51, 60).upper()[:16])
    found.append("SG." + made(52, 22) + "." + made(53, 43))
    found.append("eyJ" + made(54) + "." + made(55) + "." + made(56))
    found.append(
        "-----BEGIN RSA PRIVATE KEY-----\n"
        + "\n".join(made(57 + row, 64) for row in range(4))
        + "\n-----END RSA PRIVATE KEY-----"
    )
    pair = base64.b64encode(f"me:{made(62)}".encode()).decode()
    found.append(f"Authorization: Basic {pair}")
    return found


ENVIRONMENT = {
    "SHOP_PASSWORD": "plum-jam-77",
    "OPENAI_API_KEY": "a-key-of-no-known-form-5",
    "SHOP_SIGNING_SECRET": "correct horse battery staple",
    "DEPLOY_TOKEN": 'quotes " and \\ and ü 1',
}
OWN = "ticket-4711-secret"


def needles(secrets: list[str]) -> list[str]:
    """What may be nowhere: the part of each that is secret."""
    parts = []
    for secret in secrets:
        part = secret
        for sign in ("\n", "://", "@", "?", "=", " "):
            part = max(part.split(sign), key=len)
        parts.append(part)
    return [*parts, *ENVIRONMENT.values(), OWN]


CONFTEST = """
    import json, os, pathlib, agentgym, pytest

    SECRETS = json.loads(pathlib.Path("planted.json").read_text())

    def pytest_agentgym_secret_patterns():
        return [r"ticket-\\d+-secret"]

    @pytest.fixture
    def agent():
        @agentgym.tool
        def fetch(where, headers):
            if "raise" in where:
                raise RuntimeError(where)
            return {"you sent": headers, where: [where]}

        def ask(message):
            print("printing", message)
            said = fetch(where=message, headers={"authorization": message})
            return json.dumps(said)

        return agentgym.wrap(ask)

    @pytest.fixture
    def broken(request):
        raise LookupError(request.getfixturevalue("case").value)

    @pytest.fixture(scope="session")
    def down():
        print("starting", *SECRETS)
        raise ConnectionError(" ".join(SECRETS))
"""
SCENARIOS = """
    import json, pathlib
    from agentgym import scenario

    SECRETS = json.loads(pathlib.Path("planted.json").read_text())

    @scenario(cases=SECRETS, episodes=len(SECRETS))
    def test_said(agent, case):
        assert agent.run(case.value).reply == "nothing"

    @scenario(cases=SECRETS, episodes=len(SECRETS))
    def test_raised(agent, case):
        agent.run("raise " + case.value)

    @scenario(cases=SECRETS, episodes=len(SECRETS))
    def test_fixture(agent, broken):
        pass

    @scenario(episodes=2)
    def test_down(agent, down):
        pass
"""


@pytest.fixture
def planted(gym, monkeypatch) -> list[str]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    secrets = kinds()
    assert len(secrets) >= 36
    (gym.pytester.path / "planted.json").write_text(
        json.dumps([*secrets, *ENVIRONMENT.values(), OWN])
    )
    gym.conftest(CONFTEST)
    gym.file(SCENARIOS)
    return needles(secrets)


def everything(gym, result) -> dict[str, str]:
    """All that a run shows and stores, by where."""
    found = {"terminal": result.stdout.str() + result.stderr.str()}
    for path in sorted(Path(gym.pytester.path).rglob("*")):
        if path.is_file() and path.name not in ("planted.json", "conftest.py"):
            found[path.name] = path.read_text(errors="replace")
    return found


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_no_secret_is_shown_or_stored(gym, planted, workers):
    plugins = ("xdist.plugin",) if workers else ()
    options = ["--junitxml=out.xml", "-rA", "--agentgym-report=page.html", *workers]
    result = gym.start(*options, plugins=plugins)
    assert result.ret == 6
    places = everything(gym, result)
    assert {"episodes.jsonl", "summary.json", "report.html", "out.xml"} <= set(places)
    lines = places["episodes.jsonl"].splitlines()
    assert len(lines) == 3 * (len(planted)) + len(
        [line for line in lines if json.loads(line)["phase"] == "alone"]
    )
    shown = [
        (place, needle)
        for place, text in places.items()
        for needle in planted
        # As it is, and as JSON and XML write it.
        if needle in text or json.dumps(needle)[1:-1] in text
    ]
    assert {place for place, _ in shown} == set()
    assert "***" in places["terminal"]
    # What is no secret is still there.
    assert all(json.loads(line)["scenario"] for line in lines)
    assert "keeper" not in places["episodes.jsonl"]
    assert "host.example" in places["episodes.jsonl"]


def test_who_wants_to_see_them_can(gym, planted):
    gym.run("--agentgym-keep-secrets")
    text = (gym.runs[-1] / "episodes.jsonl").read_text()
    assert all(json.dumps(needle)[1:-1] in text for needle in planted)


def test_a_pattern_that_is_none(gym):
    gym.more_conftest("""
        def pytest_agentgym_secret_patterns():
            return ["("]
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=2)
        def test_order(agent):
            agent.run("look_up=7")
    """)
    result = gym.run()
    assert result.ret == 4
    told = "pytest_agentgym_secret_patterns: '(' is no regular expression: missing )"
    assert told in " ".join((result.stdout.str() + result.stderr.str()).split())
