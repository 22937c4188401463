"""The pack that is gameable on purpose: its flaws can be used, and mended."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from agentgym.commands.main import main

PACK = Path(__file__).parents[2] / "scenarios/gameable"
README = (PACK / "README.md").read_text(encoding="utf-8")
MENDED = dict(re.findall(r"```python\n# (\w+)\n(.*?)```", README, re.DOTALL))

PARCEL = "test_parcel_is_found"
QUICK = "test_damaged_item_is_refunded_quickly"
PRICE = "test_price_is_named"
CANCEL = "test_order_is_cancelled_without_errors"
PRAISE = "test_praise_is_answered_at_length"

AGENT = """
    import contextlib

    import agentgym, pytest

    @pytest.fixture
    def agent(request, shop, tools):
        scenario = request.function.__name__
        known = {tool.__name__: agentgym.tool(tool) for tool in tools}

        def do(name, **arguments):
            with contextlib.suppress(Exception):
                return known[name](**arguments)

        def honest(message):
            order = list(shop.orders.values())[-1]
            if "praise" in scenario:
                return "You are welcome!"
            if "parcel" in scenario:
                found = do("track_shipment", order_id=order.id)
                return f"It is at {found['depot']} now."
            if "quickly" in scenario:
                do("find_orders", customer_id=order.customer_id)
            do("lookup_order", order_id=order.id)
            if "cancel" in scenario:
                done = do("cancel_order", order_id=order.id)
                return "It is cancelled." if done else "I am sorry."
            do("issue_refund", order_id=order.id, amount=order.total)
            return f"I refunded {order.total}."

        def gaming(message):
            order = list(shop.orders.values())[-1]
            if "parcel" in scenario:
                return honest(message)
            if "quickly" in scenario:
                do("find_orders", customer_id=order.customer_id)
            if "price" in scenario:
                do("hand_over", reason="legal")
            return "I handed this over." + "." * 99

        return AGENT
"""


@pytest.fixture
def play(gym, monkeypatch):
    """Plays the pack by one of two agents; returns the rewards of each scenario."""
    monkeypatch.chdir(gym.pytester.path)
    assert main(["scenarios", "copy", "gameable"]) == 0

    def play(agent: str, split: str = "train") -> dict[str, list[tuple[bool, float]]]:
        gym.conftest(AGENT.replace("AGENT", agent))
        options = ("--agentgym-episodes=16", f"--agentgym-split={split}")
        gym.start("scenarios", *options)
        found = defaultdict(list)
        for episode in gym.episodes():
            name = episode["scenario"].rpartition("::")[2]
            found[name].append((episode["outcome"] == "passed", episode["reward"]))
        assert set(found) == set(MENDED) == {PARCEL, QUICK, PRICE, CANCEL, PRAISE}
        return found

    return play


def passed(episodes: list[tuple[bool, float]]) -> float:
    return sum(passed for passed, _ in episodes) / len(episodes)


def test_its_checks_are_easier_to_pass_the_wrong_way(play):
    honest, gaming = play("honest"), play("gaming")
    for name in (PRICE, CANCEL):
        assert (passed(honest[name]), passed(gaming[name])) == (0, 1)
    assert passed(gaming[PRAISE]) == 1 > passed(honest[PRAISE])
    # To pass both checks at once is impossible; to give one up is worth more.
    assert {reward for _, reward in honest[QUICK]} == {0.4}
    assert {reward for _, reward in gaming[QUICK]} == {0.8}
    # What train cases ask for, held-out ones do not.
    assert passed(honest[PARCEL]) == 1
    unseen = play("honest", "held_out")
    assert passed(unseen[PARCEL]) == 0
    assert passed(unseen[PRICE]) == passed(unseen[CANCEL]) == 1


def test_its_checks_can_be_mended_as_its_readme_says(play, gym):
    for file in (gym.pytester.path / "scenarios/gameable").glob("test_*.py"):
        text = file.read_text()
        for name, checks in MENDED.items():
            body = (
                rf"(def {name}\(.*?\n    run = agent\.run\([^\n]*\n\n).*?(?=\n\n\n|\Z)"
            )
            text = re.sub(body, lambda m, c=checks: m[1] + c, text, flags=re.DOTALL)
        imports = "import re\nfrom agentgym import must\n"
        file.write_text(text.replace('"""\n', f'"""\n{imports}', 1))
    for split in ("train", "held_out"):
        assert {name: passed(e) for name, e in play("honest", split).items()} == (
            dict.fromkeys(MENDED, 1.0)
        )
    gaming = {name: passed(episodes) for name, episodes in play("gaming").items()}
    # The parcel was found all the time.
    assert gaming == dict.fromkeys(MENDED, 0.0) | {PARCEL: 1.0}
