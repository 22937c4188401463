"""What is said of a run and of the one that played it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentgym.playing.episode import ALONE
from agentgym.policy.folders.weights_digest import model_fingerprint
from agentgym.runs.again import changes as again
from agentgym.runs.again.changes import changes
from agentgym.runs.again.course import course, difference
from agentgym.runs.again.reproduction import compare_again
from agentgym.runs.again.surroundings import code_of_project, digests, machine
from tests.made_episodes import made_call, made_check, made_episode, made_trajectory
from tests.made_run import made_run

FIRST = {
    "case": {"index": 0, "seed": 7, "split": "held_out", "value": None},
    "checks": [made_check()],
}


def episode(index: int = 0, **changed: Any) -> Any:
    call = made_call("refund", arguments={"order": "B7"}, result={"paid": 3})
    return made_episode(
        index, **{"trajectory": made_trajectory(call), **FIRST, **changed}
    )


def told(now: Any, *, whole: bool = True) -> str | None:
    return difference(course(episode(), whole=whole), course(now, whole=whole))


def test_ids_times_and_addresses_are_no_difference():
    call = made_call("refund", "c9", arguments={"order": "B7"}, result={"paid": 3})
    call.start, call.duration = 3.0, 4.0
    other = made_trajectory(call)
    other.messages[1]["id"] = "m1"
    assert told(episode(trajectory=other, id="x", start=9.0, duration=5.0)) is None
    here, there = (
        episode(trajectory=made_trajectory(made_call("look", result=f"<O at {at}>")))
        for at in ("0x7f0000000001", "0x7f0000000002")
    )
    assert difference(course(here, whole=True), course(there, whole=True)) is None


CALL = {"arguments": {"order": "B7"}, "result": {"paid": 3}}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"case": FIRST["case"] | {"seed": 8}},
            "the seed of its case was '7', and is now '8'",
        ),
        ({"attempts": 2}, "the number of attempts was '1', and is now '2'"),
        (
            {"trajectory": made_trajectory(made_call("refund", **CALL), user="Ho")},
            "message 1 of the user was 'Hi', and is now 'Ho'",
        ),
        (
            {"trajectory": made_trajectory(made_call("refund", **CALL), reply="No.")},
            "the reply of model call 2 was 'Done.', and is now 'No.'",
        ),
        (
            {
                "trajectory": made_trajectory(
                    made_call("refund", **CALL | {"result": 4})
                )
            },
            "the result of tool call 1, refund was '{\"paid\": 3}', and is now '4'",
        ),
        (
            {"trajectory": made_trajectory(made_call("cancel", **CALL))},
            "tool call 1 was 'refund(order=B7)', and is now 'cancel(order=B7)'",
        ),
        (
            {"checks": [made_check("failed")]},
            "the check run.called(\"refund\") was 'passed', and is now 'failed'",
        ),
    ],
)
def test_the_first_difference_is_told(changed, sentence):
    assert told(episode(**changed)) == sentence


def test_an_episode_that_ends_earlier_is_told_by_what_comes_now():
    came = course(episode(), whole=True)
    cut = [fact for fact in came if fact.name not in ("the outcome", "the reward")]
    assert difference(came, cut) == "the outcome (passed) came, and now comes the end"


def test_of_others_models_only_what_the_agent_was_given_counts():
    other = made_trajectory(made_call("cancel"), reply="No.")
    assert told(episode(trajectory=other, outcome="failed"), whole=False) is None
    asked = made_trajectory(made_call("refund", **CALL), user="Ho")
    assert told(episode(trajectory=asked), whole=False) == (
        "message 1 of the user was 'Hi', and is now 'Ho'"
    )


def updates(folder: Path, *adapters: str) -> None:
    rows = [
        json.dumps({"update": number, "adapter_sha256": adapter})
        for number, adapter in enumerate(adapters, start=1)
    ]
    (folder / "updates.jsonl").write_text("\n".join(rows) + "\n")


def test_runs_are_compared_by_scenario_and_number(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    alone = episode(2, phase=ALONE, id="a")
    made_run(old, [episode(n, start=9.0 - n) for n in range(4)] + [alone])
    other = made_trajectory(made_call("refund", **CALL), reply="No.")
    changed = [episode(n, id=f"n{n}", trajectory=other) for n in (2, 1)]
    made_run(new, [*changed, episode(0), alone])
    found = compare_again(old, new, whole=True)
    assert (found.compared, found.differing) == (4, 2)
    assert (found.only_before, found.only_now) == (1, 0)
    # The one that began first.
    assert found.first == (
        "test_refund, episode 2, case held_out-0: the reply of model call 2 was "
        "'Done.', and is now 'No.'"
    )
    assert (found.updates, found.adapter, found.unequal_updates) == (0, None, None)


def test_adapters_are_compared_update_by_update(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        made_run(folder, [episode(id="r1", phase="train")])
    updates(old, "a", "b", "c")
    updates(new, "a", "x", "c", "d")
    found = compare_again(old, new, whole=True)
    assert (found.compared, found.differing) == (1, 0)
    assert (found.updates, found.adapter, found.unequal_updates) == (3, 2, (3, 4))


def test_the_code_of_a_project_is_what_was_imported_of_it(tmp_path, monkeypatch):
    (tmp_path / "shop_of_mine.py").write_text("x = 1")
    (tmp_path / "never_imported.py").write_text("x = 1")
    packages = tmp_path / ".venv/lib/site-packages"
    packages.mkdir(parents=True)
    (packages / "package_of_others.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(packages))
    __import__("shop_of_mine")
    __import__("package_of_others")
    assert list(code_of_project(tmp_path)) == ["shop_of_mine.py"]


def test_what_has_changed_is_told(tmp_path, monkeypatch):
    (tmp_path / "conftest.py").write_text("x = 1")
    (tmp_path / "gone.py").write_text("x = 1")
    files = digests(tmp_path, tmp_path.iterdir())
    sampled: Any = {"weights": "a", "engine": "own", "device": "cpu"}
    origin: Any = {"files": files, "machine": machine(), "sampled": sampled}
    same: Any = {"root": tmp_path, "installed": {"torch": "2"}, "sampled": sampled}
    assert not list(changes(origin, {"torch": "2"}, **same))
    (tmp_path / "conftest.py").write_text("x = 2")
    (tmp_path / "gone.py").unlink()
    monkeypatch.setattr(again, "machine", lambda: "a large one")
    now = {
        "root": tmp_path,
        "installed": {"torch": "3"},
        "sampled": sampled | {"device": "gpu"},
    }
    assert list(changes(origin, {"torch": "2", "crewai": "1"}, **now)) == [
        "crewai was 1, and is not there",
        "torch was 2, and is 3",
        "changed since: conftest.py",
        "gone since: gone.py",
        "the device that samples was 'cpu', and is 'gpu'",
        f"the machine was {machine()}, and is a large one",
    ]
    [*_, weights, _] = changes(
        origin, {}, **now | {"sampled": sampled | {"weights": "b"}}
    )
    assert weights == "the weights of the policy are not what they were"


def test_a_models_digest_is_of_its_ends_and_its_adapter(tmp_path):
    model, adapter = tmp_path / "m", tmp_path / "a"
    model.mkdir()
    adapter.mkdir()
    content = bytearray(40 * 2**20)
    file = model / "model.safetensors"
    seen = set()
    for at in (0, 2**20, len(content) - 1):
        content[at] ^= 1
        file.write_bytes(content)
        seen.add(model_fingerprint(model))
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    seen.add(model_fingerprint(model, adapter))
    assert len(seen) == 4
    assert model_fingerprint(model, adapter) in seen
