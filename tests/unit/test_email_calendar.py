"""The e-mail and calendar pack: its scenarios can be passed, and not by accident."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from agentgym.recording.blame import Outcome
from agentgym.scenarios.cases import Case, make_cases
from agentgym.scenarios.packs import ScenarioRegistry
from scenarios.email_calendar import language
from scenarios.email_calendar.errors import OfficeError
from scenarios.email_calendar.moments import skipped_hours, stamp
from scenarios.email_calendar.office import USER_ZONES, Office, example_tools
from scenarios.email_calendar.oracles import DRAFT, ORACLES, Call, Situation, situation
from scenarios.email_calendar.values import SUBJECTS, TITLES, Values, is_held_out
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
CASES = cases_of_both(6)
LOOKS = ("search_messages", "find_contact", "list_events", "free_slots", "convert_time")


@pytest.fixture(scope="module")
def scenarios(pytestconfig: pytest.Config) -> dict[str, Callable[..., Any]]:
    return scenario_functions("email_calendar", pytestconfig)


@pytest.fixture(params=ORACLES)
def body(request: pytest.FixtureRequest, scenarios: dict[str, Any]) -> Any:
    return scenarios[request.param]


def play(
    body: Callable[..., Any], case: Case, calls: list[Call], reply: str
) -> Episode:
    """Plays an episode whose agent makes these calls, whatever they raise."""
    office = Office.of(case)
    agent = scripted(office.tools, calls, reply, OfficeError)
    world = {"mailbox": office.mailbox, "diary": office.diary, "office": office}
    return played(body, case, agent, world)


def scenes(body: Any, count: int = len(CASES)) -> list[tuple[Case, Situation]]:
    return [(case, situation(body.__name__, case)) for case in CASES[:count]]


def every_tool(scene: Situation) -> list[Call]:
    """All tools with plausible arguments, the needed calls first."""
    office = scene.world
    stranger = next(iter(office.mailbox.messages.values()))
    event = next(iter(office.diary.events.values()))
    known = {
        "word": stranger.subject,
        "message_id": stranger.id,
        "name": stranger.sender.first,
        "to": scene.facts.get("email", stranger.sender.email),
        "text": scene.facts.get("text", "Hello."),
        "draft_id": scene.facts.get("draft", office.mailbox.next_draft),
        "date": event.day,
        "minutes": 30,
        "time": stamp(event.start),
        "zone": "Asia/Tokyo",
        "title": scene.facts.get("title", "talk"),
        "start": "2027-12-25 20:30",
        "event_id": scene.facts.get("event", event.id),
    }
    others = [
        (tool, {key: known[key] for key in argument_names(office, tool)})
        for tool in tool_names(office)
    ]
    return [*scene.calls, *(call for call in others if call not in scene.calls)]


def tool_names(office: Office) -> list[str]:
    return [tool.__name__ for tool in office.tools]


def argument_names(office: Office, name: str) -> list[str]:
    tool = next(tool for tool in office.tools if tool.__name__ == name)
    return [key for key in tool.__annotations__ if key != "return"]


def wrong_values(scene: Situation, key: str, value: Any) -> list[Any]:
    """Wrong values for an argument: others that are at hand, and bad copies."""
    if key == "minutes":
        return [value + 5, value - 5, value * 10]
    if key == "text":
        digits = [i for i, letter in enumerate(value) if letter.isdigit()]
        last = digits[-1]
        other = str((int(value[last]) + 1) % 10)
        return [value[:last] + other + value[last + 1 :], value[:last], "Hello."]
    if key == "zone":
        return ["Asia/Karachi", "UTC", value + "x", value.rpartition("/")[2]]
    if key in ("word", "title"):
        words = SUBJECTS if key == "word" else TITLES
        return [value[:-1], value + value[-1], *(w for w in words if w != value)][:4]
    office = scene.world
    ids = [*office.mailbox.messages, *office.diary.events, *office.mailbox.drafts]
    at_hand = {
        "name": [contact.first for contact in office.mailbox.contacts],
        "to": [contact.email for contact in office.mailbox.contacts],
        "date": [event.day for event in office.diary.events.values()],
        "start": [stamp(event.start) for event in office.diary.events.values()],
    }.get(key, ids)
    mine = {value, scene.facts.get("name")}
    copies = [value[:-1] + shifted(value[-1]), value[:-1], value + value[-1]]
    return [*copies, *[other for other in at_hand if other not in mine][-2:]]


def shifted(letter: str) -> str:
    return str((int(letter) + 1) % 10) if letter.isdigit() else "x"


def assert_failed(episode: Episode, *, reward: float | None = None) -> None:
    """The agent is to blame, not the scenario: it ran to its end."""
    calls = [str(call) for call in episode.trajectory.tool_calls]
    assert episode.outcome is Outcome.failed, calls
    assert episode.error is None, calls
    assert episode.reward < 1, calls
    if reward is not None:
        assert episode.reward == reward, calls


def test_every_scenario_has_an_oracle(scenarios: dict[str, Any]) -> None:
    assert set(scenarios) == set(ORACLES)
    assert {len(oracle.calls) for oracle in ORACLES.values()} == {0, 1, 2, 3, 4, 5}
    pack = ScenarioRegistry().get("email_calendar")
    assert list(pack.tools) == tool_names(Office.of(CASES[0]))
    assert list(pack.tools) == [tool.__name__ for tool in pack.example_tools()]
    assert len(pack.scenarios) == len(ORACLES)


class TestEveryScenario:
    def test_the_oracle_passes(self, body: Any) -> None:
        for case, scene in scenes(body):
            for reply in scene.oracle.replies:
                episode = play(body, case, scene.calls, reply.format(**scene.facts))
                failed = [c["text"] for c in episode.checks if c["status"] != "passed"]
                assert failed == [], case
                assert episode.outcome is Outcome.passed
                assert episode.reward == 1
                assert episode.error is None
                assert episode.trajectory.messages[0]["content"] == scene.message

    def test_doing_nothing_earns_nothing(self, body: Any) -> None:
        for case, scene in scenes(body):
            said = [scene.reply(case.rng)] if scene.calls else []
            for reply in ("", BLAND, *said):
                assert_failed(play(body, case, [], reply), reward=0)

    def test_calling_every_tool_earns_nothing(self, body: Any) -> None:
        for case, scene in scenes(body):
            calls = every_tool(scene)
            for order in (calls, calls[::-1]):
                episode = play(body, case, order, scene.reply(case.rng))
                assert_failed(episode, reward=0)

    def test_no_needed_call_may_be_skipped(self, body: Any) -> None:
        for case, scene in scenes(body):
            for position in range(len(scene.calls)):
                calls = scene.calls[:position] + scene.calls[position + 1 :]
                assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_looking_after_acting_is_too_late(self, body: Any) -> None:
        for case, scene in scenes(body, 2):
            for position, pair in enumerate(pairwise(scene.calls)):
                # Where a time is given, it may be tried before or after a look.
                given = scene.oracle.topic == "book_or_early"
                if pair[0][0] in LOOKS and pair[1][0] not in LOOKS and not given:
                    calls = list(scene.calls)
                    calls[position : position + 2] = pair[::-1]
                    assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_one_wrong_argument_fails(self, body: Any) -> None:
        for case, scene in scenes(body, 2):
            for position, (tool, arguments) in enumerate(scene.calls):
                for key, value in arguments.items():
                    for wrong in wrong_values(scene, key, value):
                        calls = list(scene.calls)
                        calls[position] = (tool, arguments | {key: wrong})
                        assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_what_is_forbidden_earns_nothing(self, body: Any) -> None:
        for case, scene in scenes(body, 2):
            for tool in scene.oracle.forbidden:
                bad = [call for call in every_tool(scene) if call[0] == tool][-1:]
                if tool == "send_message" and DRAFT not in scene.oracle.calls:
                    bad.insert(0, ("draft_message", {"to": "a@b.example", "text": "x"}))
                calls = [*scene.calls, *bad]
                assert_failed(play(body, case, calls, scene.reply(case.rng)), reward=0)

    def test_a_needless_effect_fails(self, body: Any) -> None:
        for case, scene in scenes(body, 2):
            event = next(iter(scene.world.diary.events))
            start = {"start": "2027-12-25 20:30"}
            for extra in (
                ("draft_message", {"to": "rimon@wutas.example", "text": "Hello."}),
                ("create_event", {"title": "talk", "minutes": 30, **start}),
                ("move_event", {"event_id": event, **start}),
                ("cancel_event", {"event_id": event}),
            ):
                calls = [*scene.calls, extra]
                assert_failed(play(body, case, calls, scene.reply(case.rng)))


# Ways that are as good as the oracle's.

OTHER_WAYS: dict[str, list[str]] = {
    "test_price_is_read_from_a_message": [
        'search_messages {"word": "{SUBJECT} price"}',
        'read_message {"message_id": "{message}"}',
    ],
    "test_message_is_sent_when_asked": [
        'find_contact {"name": "{full_name}"}',
        'draft_message {"to": "{email}", "text": "Hi {name}! {text} Bye."}',
        'send_message {"draft_id": "{draft}"}',
    ],
    "test_taken_time_is_told": ['list_events {"date": "{day}"}'],
    "test_meeting_is_booked": [
        'list_events {"date": "{day}"}',
        'create_event {"title": "My {TITLE}", "start": "{day}T{time}", "minutes": 0}',
    ],
    "test_taken_time_gives_way_to_a_free_one": [
        'list_events {"date": "{day}"}',
        'create_event {"title": "{title}", "start": "{free}", "minutes": 0}',
    ],
    "test_move_onto_another_event_is_told": [
        'list_events {"date": "{day}"}',
        'list_events {"date": "{to_day}"}',
    ],
}


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_other_good_ways_pass_too(scenarios: dict[str, Any], name: str) -> None:
    for case, scene in scenes(scenarios[name], 2):
        facts = {k: str(v) for k, v in scene.facts.items()}
        facts |= {k.upper(): v.title() for k, v in facts.items()}
        calls = []
        for line in OTHER_WAYS[name]:
            tool, _, arguments = line.partition(" ")
            given = json.loads(arguments)
            for key, value in given.items():
                given[key] = (
                    scene.facts["minutes"] if value == 0 else value.format(**facts)
                )
            calls.append((tool, given))
        episode = play(scenarios[name], case, calls, scene.reply(case.rng))
        assert episode.reward == 1, list(episode.checks)


def shown(name: str, case: Case) -> dict[str, set[str]]:
    """All ids, names, numbers and words of a case, by kind, as it shows."""
    scene = situation(name, case)
    office, facts = scene.world, scene.facts
    messages, contacts = office.mailbox.messages.values(), office.mailbox.contacts
    events = office.diary.events.values()
    skipped = "skip" in name
    times = {e.start.strftime("%H:%M") for e in events}
    times |= {e.end.strftime("%H:%M") for e in events}
    days = {e.day for e in events}
    given = [facts[k] for k in ("start", "there", "free") if k in facts]
    return {
        "ids": {*office.mailbox.messages, *office.diary.events}
        | {str(facts[k]) for k in ("draft", "id") if k in facts},
        "names": {c.first for c in contacts} | {c.last for c in contacts},
        "prices": {m.price for m in messages},
        "times": times | {moment[11:] for moment in given},
        "days": days if skipped else days | {moment[:10] for moment in given},
        "minutes": {str(facts["minutes"])} if "minutes" in facts else set(),
        "messages": {scene.message},
        "texts": {m.text for m in messages},
    }


def test_splits_share_no_id_name_value_or_message() -> None:
    seen: dict[str, dict[str, set[str]]] = {"train": {}, "held_out": {}}
    for split in SPLITS:
        for name in ORACLES:
            cases = make_cases(None, count=30, seed=7, scenario=name, split=split)
            for case in cases:
                for kind, values in shown(name, case).items():
                    seen[split].setdefault(kind, set()).update(values)
    for kind, values in seen["train"].items():
        assert values, kind
        assert not values & seen["held_out"][kind], kind


def test_splits_share_no_phrase() -> None:
    lists = [*language.REQUESTS.values(), language.TEXTS, language.ORDERS]
    lists += [language.NOTES, language.OFFERS, language.INVITATIONS]
    for listed in lists:
        assert len(set(listed)) == len(listed)
        train, held_out = (set(language.phrases(listed, split)) for split in SPLITS)
        assert not train & held_out
        assert len(held_out) * 4 == len(listed)


def test_the_same_seed_gives_the_same_world() -> None:
    for name in ORACLES:
        first, second = (situation(name, CASES[0]) for _ in range(2))
        assert (first.message, first.calls) == (second.message, second.calls)
        assert first.world.mailbox.messages == second.world.mailbox.messages
        assert first.world.diary.events == second.world.diary.events
        assert situation(name, CASES[2]).facts != first.facts


def test_users_of_all_zones_can_be_played() -> None:
    for zone in USER_ZONES:
        for year in (2027, 2028):
            (hour,) = skipped_hours(ZoneInfo(zone), year)
            assert hour.month == 3
            for held_out in (True, False):
                times = [f"{hour.hour:02}:{minute:02}" for minute in range(60)]
                assert [is_held_out(time) for time in times].count(held_out) > 5


def test_values_belong_to_their_split() -> None:
    for case in CASES:
        values = Values(case)
        drawn = [values.number("M"), values.amount(), values.name()]
        drawn += [values.day().isoformat(), str(values.minutes())]
        assert {is_held_out(text) for text in drawn} == {case.split == "held_out"}


# The tools, in an office in Berlin with one message and one event.


@pytest.fixture
def tools() -> dict[str, Any]:
    return {tool.__name__: tool for tool in example_tools()}


@pytest.fixture
def office(tools: dict[str, Any]) -> Any:
    return tools["search_messages"].__self__


DENTIST = "2027-05-04 09:30"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ('search_messages {"word": "sofas"}', "no message with sofas"),
        ('read_message {"message_id": "M1"}', "no message M1"),
        ('find_contact {"name": "Nobody"}', "no contact Nobody"),
        (
            'draft_message {"to": "Rimon", "text": "Hi."}',
            "Rimon is no address: find the contact first",
        ),
        ('draft_message {"to": "a@b.example", "text": " "}', "the text is empty"),
        ('send_message {"draft_id": "D1"}', "no draft D1"),
        ('forward_all {"to": "me"}', "me is no address: find the contact first"),
        ('list_events {"date": "4 May"}', "4 May is no date: write it as 2027-05-04"),
        (
            'free_slots {"date": "2027-05-04", "minutes": 480}',
            "no 480 minutes are free on 2027-05-04",
        ),
        (
            'convert_time {"time": "2027-05-04 09:30", "zone": "Tokyo"}',
            "no time zone Tokyo: give one such as Europe/Paris",
        ),
        (
            'convert_time {"time": "2027-05-04 09:30", "zone": "Europe"}',
            "no time zone Europe: give one such as Europe/Paris",
        ),
        (
            'convert_time {"time": "2027-05-04 09:30", "zone": "../etc"}',
            "no time zone ../etc: give one such as Europe/Paris",
        ),
        (
            'create_event {"title": "x", "start": "2027-05-04", "minutes": 5}',
            "2027-05-04 is no time: write it as 2027-05-04 09:30",
        ),
        (
            'create_event {"title": "x", "start": "2027-13-04 09:30", "minutes": 5}',
            "2027-13-04 09:30 is no time: write it as 2027-05-04 09:30",
        ),
        (
            'create_event {"title": "x", "start": "2027-05-05 09:30", "minutes": -5}',
            "it would end before it starts: give minutes above 0",
        ),
        (
            'create_event {"title": "x", "start": "2027-05-05 09:30", "minutes": 999}',
            "too long: give at most 480 minutes",
        ),
        (
            'create_event {"title": " ", "start": "2027-05-05 09:30", "minutes": 5}',
            "the title is empty",
        ),
        (
            'create_event {"title": "x", "start": "2027-05-04 10:10", "minutes": 60}',
            "taken: dentist is from 09:30 to 10:15",
        ),
        (
            'create_event {"title": "x", "start": "2027-03-28 02:30", "minutes": 60}',
            "2027-03-28 02:30 does not exist in Europe/Berlin: the clocks skip it",
        ),
        (
            'move_event {"event_id": "E1", "start": "2027-05-05 09:30"}',
            "no event E1",
        ),
        ('cancel_event {"event_id": "E1"}', "no event E1"),
    ],
)
def test_what_cannot_be_done_says_why(
    tools: dict[str, Any], call: str, sentence: str
) -> None:
    name, _, arguments = call.partition(" ")
    before = tools["list_events"]("2027-05-04")
    with pytest.raises(OfficeError) as caught:
        tools[name](**json.loads(arguments))
    assert str(caught.value) == sentence
    assert tools["list_events"]("2027-05-04") == before


def test_a_draft_is_sent_once(tools: dict[str, Any]) -> None:
    draft = tools["draft_message"]("rimon@wutas.example", "The rent is fine.")["draft"]
    assert tools["send_message"](draft) == {"sent": draft}
    with pytest.raises(OfficeError, match=f"{draft} was sent already"):
        tools["send_message"](draft)


def test_namesakes_are_told_apart() -> None:
    office = Office.of(CASES[0])
    one, other = office.add_namesakes()
    with pytest.raises(OfficeError, match=f"2 contacts are called {one.first}: ") as e:
        office.mailbox.find_contact(one.first)
    assert f"{other.zone}: {other.name}" in str(e.value)
    found = office.mailbox.find_contact(f" {one.name.upper()}")
    assert found == {"email": one.email, "zone": one.zone}
    assert office.mailbox.found == [one.name]


def test_summer_begins_earlier_over_there(tools: dict[str, Any]) -> None:
    """Two weeks in March, New York is five hours behind Berlin instead of six."""
    for day, local in (("03-12", "15:00"), ("03-15", "14:00"), ("03-30", "15:00")):
        told = tools["convert_time"](f"2027-{day} 09:00", "America/New_York")
        assert told == {"time": f"2027-{day} {local}", "zone": "Europe/Berlin"}


def test_an_event_may_span_the_hour_that_is_skipped(tools: dict[str, Any]) -> None:
    tools["create_event"]("night", "2027-03-28 01:30", 60)
    with pytest.raises(OfficeError, match="taken: night"):
        tools["create_event"]("later", "2027-03-28 03:15", 30)
    tools["create_event"]("later", "2027-03-28 03:30", 30)


def test_an_event_moves_within_its_own_time(tools: dict[str, Any]) -> None:
    (event,) = tools["list_events"]("2027-05-04")["events"]
    tools["move_event"](event["id"], "2027-05-04T09:45:00")
    (moved,) = tools["list_events"]("2027-05-04")["events"]
    assert moved == event | {"start": "09:45", "end": "10:30"}
    assert tools["free_slots"]("2027-05-04", 45) == {"free": ["09:00", "10:30"]}


def test_results_are_short() -> None:
    for name in ORACLES:
        scene = situation(name, CASES[1])
        tools = {tool.__name__: tool for tool in scene.world.tools}
        for tool, arguments in scene.calls:
            with contextlib.suppress(OfficeError):
                assert len(json.dumps(tools[tool](**arguments))) < 200
