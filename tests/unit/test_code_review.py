"""The code-review pack: its scenarios can be passed, and not by accident."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from agentgym import ScenarioRegistry
from agentgym.recording.blame import Outcome
from agentgym.scenarios.cases import Case, make_cases
from scenarios.code_review import language
from scenarios.code_review.edits import EDITS
from scenarios.code_review.oracles import ORACLES, Call, Situation, situation
from scenarios.code_review.repository import (
    Change,
    Problem,
    Repository,
    RepositoryError,
    example_tools,
)
from scenarios.code_review.values import (
    ARGUMENTS,
    FOLDERS,
    MODULES,
    Values,
    is_held_out,
)
from tests.played_pack import (
    BLAND,
    SPLITS,
    cases_of_both,
    played,
    scenario_functions,
    scripted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentgym.playing.episode import Episode

PACK = Path(language.__file__).parent
CASES = cases_of_both(8)
PAIR = CASES[:2]
"""A case of each split."""
ON_OTHERS = ("merge", "delete_branch", "approve", "alert_security")
"""Tools with an effect, also on a change that nobody asked about."""


@pytest.fixture(scope="module")
def scenarios(pytestconfig: pytest.Config) -> dict[str, Callable[..., Any]]:
    return scenario_functions("code_review", pytestconfig)


def play(
    body: Callable[..., Any], case: Case, calls: Sequence[Call], reply: str
) -> Episode:
    """Plays an episode with the pack's fixtures and a scripted agent."""
    repository = Repository.of(case)
    agent = scripted(repository.tools, calls, reply, RepositoryError)
    return played(body, case, agent, {"repository": repository})


def strangers(scene: Situation) -> list[Change]:
    """The changes that nobody asked about."""
    return [each for each in scene.world.changes.values() if each != scene.change]


def every_tool(scene: Situation) -> list[Call]:
    """All twelve tools with plausible arguments, the needed ones first."""
    project = scene.change.edit.project
    path, line, problem = scene.change.edit.flaw or (project.module, 1, "bug")
    known: dict[str, Any] = {
        "change": scene.change.id,
        "author": scene.change.author,
        "path": path,
        "line": line,
        "problem": problem,
        "text": project.function.name,
    }
    others = [
        (tool.__name__, {key: known[key] for key in inspect.signature(tool).parameters})
        for tool in scene.world.tools
    ]
    return [*scene.calls, *(call for call in others if call not in scene.calls)]


def needed(scene: Situation) -> list[int]:
    """The places of calls that nobody could leave out."""
    return [i for i in range(len(scene.calls)) if i not in scene.oracle.tries]


def wrong_values(scene: Situation, key: str, value: Any) -> list[Any]:
    """Wrong values for an argument: others that are at hand, and bad copies."""
    if key == "problem":
        return [problem for problem in get_args(Problem) if problem != value]
    if key == "line":
        return [value - 1, value + 1, 1 if value != 1 else 2]
    if key == "path":
        files = scene.change.edit.project.files
        return [value.upper(), *(path for path in files if path != value)]
    others = {
        "change": [each.id for each in strangers(scene)],
        "author": [each.author for each in strangers(scene)],
        "text": [scene.change.edit.project.calling],
    }
    return [value[:-1], value + value[-1], *others[key]]


def test_every_scenario_has_an_oracle(scenarios: dict[str, Any]) -> None:
    assert set(scenarios) == set(ORACLES)
    assert len(scenarios) >= 10


def test_scenarios_need_none_to_five_calls() -> None:
    needs = {len(oracle.calls) for oracle in ORACLES.values()}
    assert needs == {0, 1, 2, 3, 4, 5}


def test_each_kind_of_problem_is_found_somewhere() -> None:
    scenes = [situation(name, CASES[0]) for name in ORACLES]
    found = {scene.facts["problem"] for scene in scenes}
    assert found == {"", *get_args(Problem)}


@pytest.fixture(params=ORACLES)
def body(request: pytest.FixtureRequest, scenarios: dict[str, Any]) -> Any:
    return scenarios[request.param]


class TestEveryScenario:
    def test_the_oracle_passes(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            for reply in scene.oracle.replies:
                episode = play(body, case, scene.calls, reply.format(**scene.facts))
                failed = [c["text"] for c in episode.checks if c["status"] != "passed"]
                assert failed == []
                assert episode.outcome is Outcome.passed
                assert episode.reward == 1
                assert episode.error is None
                assert episode.trajectory.messages[0]["content"] == scene.message

    def test_looking_twice_does_no_harm(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            first, *others = scene.calls or [None]
            if first is not None:
                look = ("read_file", {"path": "README.md"})
                calls = [first, ("list_files", {}), look, *others]
                episode = play(body, case, calls, scene.reply(case.rng))
                assert (episode.outcome, episode.reward) == (Outcome.passed, 1)

    def test_doing_nothing_earns_nothing(self, body: Any) -> None:
        for case in PAIR:
            for reply in ("", BLAND):
                assert_failed(play(body, case, [], reply), reward=0)

    def test_only_talking_earns_nothing(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            if scene.calls:
                assert_failed(play(body, case, [], scene.reply(case.rng)), reward=0)

    def test_calling_every_tool_earns_nothing(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            calls = every_tool(scene)
            for order in (calls, calls[::-1]):
                episode = play(body, case, order, scene.reply(case.rng))
                assert_failed(episode, reward=0)

    def test_no_needed_call_may_be_skipped(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            for position in needed(scene):
                calls = scene.calls[:position] + scene.calls[position + 1 :]
                assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_looking_after_acting_is_too_late(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            calls = [scene.calls[position] for position in needed(scene)]
            if len(calls) > 1:
                swapped = [calls[1], calls[0], *calls[2:]]
                assert_failed(play(body, case, swapped, scene.reply(case.rng)))

    def test_one_wrong_argument_fails(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            for position in needed(scene):
                tool, arguments = scene.calls[position]
                for key, value in arguments.items():
                    for wrong in wrong_values(scene, key, value):
                        calls = list(scene.calls)
                        calls[position] = (tool, arguments | {key: wrong})
                        assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_what_is_forbidden_earns_nothing(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            for tool in (*scene.oracle.forbidden, "merge", "delete_branch"):
                bad = next(call for call in every_tool(scene) if call[0] == tool)
                for calls in ([*scene.calls[:-1], bad], [*scene.calls, bad]):
                    episode = play(body, case, calls, scene.reply(case.rng))
                    assert_failed(episode, reward=0)

    def test_a_needless_effect_fails(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            for tool in ON_OTHERS:
                extra = (tool, {"change": strangers(scene)[0].id})
                for calls in ([extra, *scene.calls], [*scene.calls, extra]):
                    assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_one_comment_too_many_fails(self, body: Any) -> None:
        for case in PAIR:
            scene = situation(body.__name__, case)
            show = ("show_diff", {"change": scene.change.id})
            stray = {"path": "README.md", "line": 1, "problem": "docs"}
            calls = [show, ("comment", stray), *scene.calls]
            assert_failed(play(body, case, calls, scene.reply(case.rng)))


def test_a_good_change_is_not_sent_back(scenarios: dict[str, Any]) -> None:
    for name, oracle in ORACLES.items():
        if oracle.calls and not oracle.flawed:
            scene = situation(name, CASES[1])
            known = {call[0]: call for call in every_tool(scene)}
            calls = [known["show_diff"], known["comment"], known["request_changes"]]
            assert_failed(play(scenarios[name], CASES[1], calls, "It needs changes."))


def assert_failed(episode: Episode, *, reward: float | None = None) -> None:
    """The agent is to blame, not the scenario: it ran to its end."""
    calls = [str(call) for call in episode.trajectory.tool_calls]
    assert episode.outcome is Outcome.failed, calls
    assert episode.error is None, calls
    assert episode.reward < 1, calls
    if reward is not None:
        assert episode.reward == reward, calls


def words_of(scene: Situation) -> set[str]:
    """All that an agent can read in a case, but the numbers of lines."""
    texts = [scene.message, *scene.change.edit.project.files.values()]
    for change in scene.world.changes.values():
        edit = change.edit
        texts += [change.id, change.author, edit.task, *edit.files.values()]
    return set(re.findall(r"\w+", " ".join(texts)))


def test_no_train_case_shows_what_is_held_out() -> None:
    read, held_out, messages = set(), set(), {split: set() for split in SPLITS}
    for split in SPLITS:
        for name in ORACLES:
            cases = make_cases(None, count=25, seed=7, scenario=name, split=split)
            for case in cases:
                scene = situation(name, case)
                messages[split].add(scene.message)
                if split == "train":
                    read |= words_of(scene)
                else:
                    held_out |= scene.world.values.drawn
    # Names of files and arguments are known to both.
    held_out -= {*ARGUMENTS, *FOLDERS, *MODULES}
    assert len(held_out) > 400
    assert not read & held_out
    assert not messages["train"] & messages["held_out"]


@pytest.mark.parametrize(
    "listed", [*language.REQUESTS.values(), language.ORDERS, language.NOTES]
)
def test_a_quarter_of_the_phrases_is_held_out(listed: list[Any]) -> None:
    train, held_out = (language.phrases(listed, split) for split in SPLITS)
    assert set(train).isdisjoint(held_out)
    assert len(train) == 3 * len(held_out) >= 9


def test_values_belong_to_their_split() -> None:
    for case in CASES:
        values = Values(case)
        drawn = [values.change_id(), values.constant(), str(values.number())]
        drawn += [values.person(), values.key()]
        assert {is_held_out(text) for text in drawn} == {case.split == "held_out"}


def test_the_same_seed_gives_the_same_world() -> None:
    for name in ORACLES:
        first, second = (situation(name, CASES[0]) for _ in range(2))
        assert first.message == second.message
        assert first.world.changes == second.world.changes
        assert situation(name, CASES[2]).change != first.change


class TestChanges:
    @pytest.mark.parametrize("kind", EDITS)
    @pytest.mark.parametrize("flawed", [False, True], ids=["good", "flawed"])
    def test_only_the_project_s_tests_can_break(self, kind: str, flawed: bool) -> None:
        for seed in range(20):
            case = Case(index=0, seed=seed, split=SPLITS[seed % 2])
            repository = Repository.of(case)
            change = repository.add_change(kind, flawed=flawed)
            assert repository.run_tests() == {"passed": 2, "failed": []}
            assert f"task: {change.edit.task}" in repository.show_diff(change.id)
            failed = repository.run_tests()["failed"]
            assert bool(failed) == (flawed and kind in ("test", "rename"))
            assert (change.edit.flaw is not None) == (flawed and kind != "docs")
            if kind == "test" and change.edit.flaw is not None:
                path, line, _ = change.edit.flaw
                assert failed == [f"{path}:{line}"]

    def test_a_flaw_is_on_a_line_that_the_diff_shows(self) -> None:
        hidden = ("test", "rename")
        for kind in set(EDITS) - {*hidden, "docs"}:
            repository = Repository.of(CASES[0])
            change = repository.add_change(kind, flawed=True)
            assert change.edit.flaw is not None
            path, line, _ = change.edit.flaw
            _, _, shown = repository.show_diff(change.id).partition(f"\n{path}\n")
            text = repository.checkout.text(path).splitlines()[line - 1]
            assert f"+{line} {text}" in shown.splitlines()


class TestTools:
    @pytest.fixture
    def repository(self) -> Repository:
        return Repository.of(CASES[0])

    @pytest.fixture
    def change(self, repository: Repository) -> Change:
        return repository.add_change("calculation", flawed=True)

    @pytest.mark.usefixtures("change")
    def test_what_is_unknown_is_an_error(self, repository: Repository) -> None:
        with pytest.raises(RepositoryError, match="no change R1: list the changes"):
            repository.show_diff("R1")
        with pytest.raises(RepositoryError, match="no change by Nobody"):
            repository.list_changes("Nobody")
        with pytest.raises(RepositoryError, match="nothing to search for"):
            repository.search_code(" ")
        for path in ("nowhere.py", "../x", "/etc/passwd", "tests", ""):
            with pytest.raises(RepositoryError, match="list the files"):
                repository.read_file(path)
        assert repository.effects == []

    def test_a_comment_needs_a_line(
        self, repository: Repository, change: Change
    ) -> None:
        with pytest.raises(RepositoryError, match="show its diff first"):
            repository.comment("README.md", 1, "docs")
        repository.show_diff(change.id)
        for line in (0, 6):
            sentence = f"no line {line}: README.md has 5 lines"
            with pytest.raises(RepositoryError, match=sentence):
                repository.comment("README.md", line, "docs")
        with pytest.raises(RepositoryError, match="no problem taste: there are bug, "):
            repository.comment("README.md", 1, "taste")  # type: ignore[arg-type]
        with pytest.raises(RepositoryError, match="comment on a line first"):
            repository.request_changes(change.id)
        assert repository.effects == change.comments == []

    def test_only_open_changes_are_reviewed(self, repository: Repository) -> None:
        draft = repository.add_change("function", draft=True)
        repository.show_diff(draft.id)
        for act in (repository.approve, repository.request_changes):
            with pytest.raises(RepositoryError, match="is not open: it is draft"):
                act(draft.id)
        assert repository.effects == []

    def test_a_diff_checks_its_change_out(
        self, repository: Repository, change: Change
    ) -> None:
        before = repository.read_file(change.edit.project.module)
        repository.show_diff(change.id)
        after = repository.read_file(change.edit.project.module)
        assert before != after
        other = next(each for each in repository.changes if each != change.id)
        repository.show_diff(other)
        assert repository.read_file(change.edit.project.module) == before

    def test_the_folder_goes_with_the_world(self, repository: Repository) -> None:
        repository.add_change("new")
        folder = repository.checkout.folder
        assert (folder / "README.md").is_file()
        repository.checkout.close()
        assert not folder.exists()
        unclosed = Repository.of(CASES[1]).checkout.folder
        assert not unclosed.exists()

    def test_many_at_once_run_their_own_tests(self) -> None:
        def failed(seed: int) -> bool:
            repository = Repository.of(Case(index=0, seed=seed, split="train"))
            change = repository.add_change("test", flawed=seed % 2 == 0)
            repository.show_diff(change.id)
            return bool(repository.run_tests()["failed"])

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(failed, range(64)))
        assert found == [seed % 2 == 0 for seed in range(64)]

    def test_results_are_short(self) -> None:
        for name in ORACLES:
            scene = situation(name, CASES[0])
            tools = {tool.__name__: tool for tool in scene.world.tools}
            for tool, arguments in scene.calls:
                with contextlib.suppress(RepositoryError):
                    assert len(json.dumps(tools[tool](**arguments))) < 500

    def test_examples_hold_a_change(self) -> None:
        tools = {tool.__name__: tool for tool in example_tools()}
        assert tools["show_diff"]("R482").startswith("R482 by ")
        assert tools["run_tests"]() == {"passed": 2, "failed": []}
        pack = ScenarioRegistry().get("code_review")
        assert list(pack.tools) == list(tools)
        assert len(pack.scenarios) == len(ORACLES)


def test_the_pack_needs_no_pytest_and_no_framework() -> None:
    code = (
        "import sys, scenarios.code_review.oracles as _;"
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
