"""The customer-support pack: its scenarios can be passed, and not by accident."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.recording.blame import Outcome
from agentgym.scenarios.cases import Case, make_cases
from scenarios.customer_support import language
from scenarios.customer_support.dialogues import tool_schemas
from scenarios.customer_support.helpdesk import (
    ARTICLES,
    Helpdesk,
    HelpdeskError,
    Values,
    is_held_out,
)
from scenarios.customer_support.oracles import ORACLES, Call, Situation, situation
from tests.played_pack import (
    BLAND,
    SPLITS,
    cases_of_both,
    played,
    scenario_functions,
    scripted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentgym.playing.episode import Episode

PACK = Path(language.__file__).parent
CASES = cases_of_both(4)


@pytest.fixture(scope="module")
def scenarios(pytestconfig: pytest.Config) -> dict[str, Callable[..., Any]]:
    return scenario_functions("customer_support", pytestconfig)


def play(
    body: Callable[..., Any], case: Case, calls: list[Call], reply: str
) -> Episode:
    """Plays an episode with the pack's fixtures and a scripted agent."""
    helpdesk = Helpdesk.of(case)
    agent = scripted(helpdesk.tools, calls, reply, HelpdeskError)
    return played(body, case, agent, {"helpdesk": helpdesk})


def every_tool(scene: Situation) -> list[Call]:
    """All eleven tools with plausible arguments, the needed ones first."""
    known = {
        "order_id": scene.order.id,
        "customer_id": scene.order.customer_id,
        "amount": scene.order.total,
        "postcode": scene.facts["postcode"],
        "topic": "returns",
        "priority": "high",
        "reason": "legal",
    }
    others = [
        (tool.__name__, {key: known[key] for key in inspect.signature(tool).parameters})
        for tool in scene.world.tools
    ]
    return [*scene.calls, *(call for call in others if call not in scene.calls)]


def wrong_values(scene: Situation, key: str, value: Any) -> list[Any]:
    """Wrong values for an argument: others that are at hand, and bad copies."""
    if key == "topic":
        return [topic for topic in ARTICLES if topic != value]
    if key in ("priority", "reason"):
        return [{"high": "low", "legal": "fraud"}[value]]
    text = str(value)
    copies = [text[:-1] + str((int(text[-1]) + 1) % 10), text[:-1], text + text[-1]]
    if key == "amount":
        return [round(value / 2, 2), value + 1, *(float(copy) for copy in copies[:2])]
    stranger = next(iter(scene.world.orders.values()))
    return [*copies, stranger.id, stranger.customer_id]


def test_every_scenario_has_an_oracle(scenarios: dict[str, Any]) -> None:
    assert set(scenarios) == set(ORACLES)
    assert len(scenarios) >= 12


def test_scenarios_need_none_to_four_calls() -> None:
    assert {len(oracle.calls) for oracle in ORACLES.values()} == {0, 1, 2, 3, 4}


@pytest.fixture(params=ORACLES)
def body(request: pytest.FixtureRequest, scenarios: dict[str, Any]) -> Any:
    return scenarios[request.param]


class TestEveryScenario:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
    def test_the_oracle_passes(self, body: Any, case: Case) -> None:
        scene = situation(body.__name__, case)
        for reply in scene.oracle.replies:
            episode = play(body, case, scene.calls, reply.format(**scene.facts))
            assert [c["text"] for c in episode.checks if c["status"] != "passed"] == []
            assert episode.outcome is Outcome.passed
            assert episode.reward == 1
            assert episode.error is None
            assert episode.trajectory.messages[0]["content"] == scene.message

    @pytest.mark.parametrize("reply", ["", BLAND], ids=["silent", "bland"])
    def test_doing_nothing_earns_nothing(self, body: Any, reply: str) -> None:
        for case in CASES:
            assert_failed(play(body, case, [], reply), reward=0)

    def test_only_talking_earns_nothing(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            if scene.calls:
                assert_failed(play(body, case, [], scene.reply(case.rng)), reward=0)

    def test_calling_every_tool_earns_nothing(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            calls = every_tool(scene)
            for order in (calls, calls[::-1]):
                episode = play(body, case, order, scene.reply(case.rng))
                assert_failed(episode, reward=0)

    def test_no_needed_call_may_be_skipped(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            for position in range(len(scene.calls)):
                calls = scene.calls[:position] + scene.calls[position + 1 :]
                assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_looking_after_acting_is_too_late(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            if len(scene.calls) > 1:
                swapped = [scene.calls[1], scene.calls[0], *scene.calls[2:]]
                assert_failed(play(body, case, swapped, scene.reply(case.rng)))

    def test_one_wrong_argument_fails(self, body: Any) -> None:
        for case in CASES[:2]:
            scene = situation(body.__name__, case)
            for position, (tool, arguments) in enumerate(scene.calls):
                for key, value in arguments.items():
                    for wrong in wrong_values(scene, key, value):
                        calls = list(scene.calls)
                        calls[position] = (tool, arguments | {key: wrong})
                        assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_what_is_forbidden_earns_nothing(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            for tool in scene.oracle.forbidden:
                bad = next(call for call in every_tool(scene) if call[0] == tool)
                episode = play(body, case, [*scene.calls, bad], scene.reply(case.rng))
                assert_failed(episode, reward=0)

    @pytest.mark.parametrize("tool", ["charge_card", "send_survey", "open_ticket"])
    def test_a_needless_effect_fails(self, body: Any, tool: str) -> None:
        for case in CASES[:2]:
            scene = situation(body.__name__, case)
            stranger = next(iter(scene.world.orders))
            name, arguments = next(c for c in every_tool(scene) if c[0] == tool)
            extra = (name, arguments | {"order_id": stranger})
            for calls in ([extra, *scene.calls], [*scene.calls, extra]):
                assert_failed(play(body, case, calls, scene.reply(case.rng)))


def assert_failed(episode: Episode, *, reward: float | None = None) -> None:
    """The agent is to blame, not the scenario: it ran to its end."""
    calls = [str(call) for call in episode.trajectory.tool_calls]
    assert episode.outcome is Outcome.failed, calls
    assert episode.error is None, calls
    assert episode.reward < 1, calls
    if reward is not None:
        assert episode.reward == reward, calls


def shown(name: str, case: Case) -> dict[str, set[str]]:
    """All ids, names, numbers and words of a case, by kind."""
    scene = situation(name, case)
    orders = scene.world.orders.values()
    return {
        "orders": {o.id for o in orders},
        "customers": {o.customer_id for o in orders},
        "amounts": {str(o.total) for o in orders},
        "names": {o.name for o in orders},
        "depots": {o.depot for o in orders},
        "days": {str(o.days) for o in orders if o.days},
        "terms": {str(number) for number in scene.world.terms.values()},
        "postcodes": {scene.facts["postcode"]},
        "messages": {scene.message},
    }


def test_splits_share_no_id_name_value_or_message() -> None:
    seen: dict[str, dict[str, set[str]]] = {"train": {}, "held_out": {}}
    for split in SPLITS:
        for name in ORACLES:
            cases = make_cases(None, count=100, seed=7, scenario=name, split=split)
            for case in cases:
                for kind, values in shown(name, case).items():
                    seen[split].setdefault(kind, set()).update(values)
    for kind, values in seen["train"].items():
        assert values, kind
        assert not values & seen["held_out"][kind], kind


@pytest.mark.parametrize("topic", language.REQUESTS)
def test_splits_share_no_phrase(topic: str) -> None:
    wordings: dict[str, set[str]] = {}
    for split in SPLITS:
        parts = (language.OPENINGS, language.REQUESTS[topic], language.CLOSINGS)
        first, request, last = (set(language.phrases(p, split)) for p in parts)
        wordings[split] = {f"{a}|{b}|{c}" for a in first for b in request for c in last}
        assert request.isdisjoint(wordings.get("requests", set()))
        wordings["requests"] = request
    assert wordings["train"].isdisjoint(wordings["held_out"])
    assert len(wordings["train"]) >= 24
    assert len(wordings["held_out"]) >= 8


def test_the_same_seed_gives_the_same_world() -> None:
    for name in ORACLES:
        first, second = (situation(name, CASES[0]) for _ in range(2))
        assert first.message == second.message
        assert first.world.orders == second.world.orders
        assert situation(name, CASES[2]).message != first.message


class TestTools:
    @pytest.fixture
    def desk(self) -> Helpdesk:
        return Helpdesk.of(CASES[0])

    def test_an_unknown_id_is_an_error(self, desk: Helpdesk) -> None:
        with pytest.raises(HelpdeskError, match="no order A1"):
            desk.lookup_order("A1")
        with pytest.raises(HelpdeskError, match="no customer C1"):
            desk.find_orders("C1")
        assert desk.changes == []

    def test_money_is_paid_back_once(self, desk: Helpdesk) -> None:
        order = desk.add_order("delivered")
        assert desk.issue_refund(order.id, order.total) == {"refunded": order.total}
        with pytest.raises(HelpdeskError, match="the order is refunded"):
            desk.issue_refund(order.id, order.total)
        assert desk.refunds == [(order.id, order.total)]
        assert desk.changes == ["issue_refund"]

    @pytest.mark.parametrize("factor", [-1, 0, 1.5])
    def test_no_amount_but_up_to_the_price(self, desk: Helpdesk, factor: float) -> None:
        order = desk.add_order("delivered")
        with pytest.raises(HelpdeskError, match=f"the order cost {order.total}"):
            desk.issue_refund(order.id, order.total * factor)

    def test_thirty_days_are_the_limit(self, desk: Helpdesk) -> None:
        order = desk.add_order("delivered", days=(31, 60))
        with pytest.raises(HelpdeskError, match="too late"):
            desk.issue_refund(order.id, order.total)

    @pytest.mark.parametrize("status", ["shipped", "delivered", "cancelled"])
    def test_only_orders_in_processing_can_change(
        self, desk: Helpdesk, status: Any
    ) -> None:
        order = desk.add_order(status)
        with pytest.raises(HelpdeskError, match=f"cannot cancel.*{status}"):
            desk.cancel_order(order.id)
        with pytest.raises(HelpdeskError, match=f"cannot change.*{status}"):
            desk.update_address(order.id, "12345")
        assert desk.changes == []

    def test_results_are_short(self, desk: Helpdesk) -> None:
        order = desk.add_order("shipped")
        for result in (
            desk.lookup_order(order.id),
            desk.find_orders(order.customer_id),
            desk.track_shipment(order.id),
            desk.search_articles("warranty"),
        ):
            assert len(json.dumps(result)) < 100

    @pytest.mark.slow  # importing LangChain takes seconds
    def test_schemas_are_what_langchain_sends(self, desk: Helpdesk) -> None:
        tools = pytest.importorskip("langchain_core.tools")
        openai = pytest.importorskip("langchain_openai")
        model = openai.ChatOpenAI(model="m", api_key="k", base_url="http://localhost")
        bound = model.bind_tools([tools.tool(tool) for tool in desk.tools])
        assert tool_schemas() == bound.kwargs["tools"]
        assert len(tool_schemas()) >= 8


def test_values_belong_to_their_split() -> None:
    for case in CASES:
        values = Values(case)
        drawn = [values.number("A", 4), str(values.amount()), values.name()]
        assert {is_held_out(text) for text in drawn} == {case.split == "held_out"}


def test_the_pack_needs_no_pytest_and_no_framework() -> None:
    import subprocess

    code = (
        "import sys, scenarios.customer_support.oracles as _;"
        "print([m for m in ('pytest', 'torch', 'langchain_core') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACK.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
