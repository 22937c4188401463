from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
from contextlib import contextmanager

import pytest

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.runs.files.measured import drop_unstored, measured_ids
from agentgym.runs.files.prompts import read_prompts
from agentgym.runs.files.store import (
    RunStore,
    ended_early,
    read_episodes,
    write_json,
)
from tests.made_episodes import (
    made_call,
    made_check,
    made_episode,
    made_row,
    made_trajectory,
)


def line(index: int = 0, **fields: object) -> str:
    return json.dumps(made_episode(index, **fields).to_json())


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path)
    yield store
    store.close()


def test_the_folder_is_named_by_time_and_ignored_by_git(store, tmp_path):
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", store.id)
    assert store.folder == tmp_path / ".agentgym" / "runs" / store.id
    assert (tmp_path / ".agentgym" / ".gitignore").read_text() == "*\n"
    assert store.warning is None


def test_two_runs_have_two_folders(store, tmp_path):
    other = RunStore(tmp_path)
    other.close()
    assert other.folder != store.folder
    assert other.warning is None


def test_an_episode_is_in_the_file_before_the_run_ends(store):
    store.append([line(0), line(1)])
    assert len(store.episodes_path.read_text().splitlines()) == 2
    store.append([line(2)])
    episodes, warning = read_episodes(store.episodes_path)
    assert [episode.index for episode in episodes] == [0, 1, 2]
    assert warning is None
    assert store.stored == 3


def test_an_episode_comes_back_as_it_was(store):
    call = made_call("refund", arguments={"amount": 2.5}, error="ToolError: no")
    episode = made_episode(
        7,
        "failed",
        checks=[made_check("failed", message="assert ü < 3")],
        trajectory=made_trajectory(call, user="Grüße ✓"),
        tools=[made_row("refund", calls=1, raised=1, latencies=[0.25])],
        reward=0.5,
        duration=1.5,
        attempts=2,
        error="RuntimeError: boom",
        details="File x",
        output="printed\n",
        policy="embedded",
        tokens=12,
    )
    store.append([json.dumps(episode.to_json())])
    episodes, _ = read_episodes(store.episodes_path)
    assert episodes == [episode]


def test_a_cut_last_line_is_reported_and_left_out(store):
    store.append([line(0), line(1)])
    store.episodes_path.write_bytes(store.episodes_path.read_bytes()[:-30])
    episodes, warning = read_episodes(store.episodes_path)
    assert [episode.index for episode in episodes] == [0]
    assert warning == f"{store.episodes_path}: line 2 is cut and was left out"


def test_any_other_bad_line_is_a_clear_error(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text(f"{line(0)}\nnonsense\n{line(1)}\n")
    with pytest.raises(UsageError, match=r"episodes\.jsonl: line 2 is no episode"):
        read_episodes(path)


def test_a_newer_format_is_a_clear_error(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text(json.dumps(made_episode().to_json() | {"format": 99}) + "\n")
    with pytest.raises(UsageError, match="format 99 is not 1"):
        read_episodes(path)


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(UsageError, match=r"nothing\.jsonl: No such file"):
        read_episodes(tmp_path / "nothing.jsonl")


def test_long_and_broken_texts_never_break_a_line():
    call = made_call("read", result="x" * 10_000_000)
    episode = made_episode(trajectory=made_trajectory(call), output="\ud800 \x00 é")
    text = json.dumps(episode.to_json())
    assert len(text) < 30_000
    assert Episode.from_json(json.loads(text)).output == "? \x00 é"


def test_summary_is_replaced_whole(store):
    store.write_summary({"a": 1})
    store.write_summary({"a": 2})
    assert json.loads((store.folder / "summary.json").read_text()) == {"a": 2}
    assert sorted(p.name for p in store.folder.iterdir()) == [
        "episodes.jsonl",
        "summary.json",
    ]


def test_a_place_that_is_no_folder_disables_the_store(tmp_path):
    (tmp_path / ".agentgym").write_text("I am a file")
    store = RunStore(tmp_path)
    store.append([line()])
    store.write_summary({})
    assert store.warning is not None
    assert store.warning.startswith("nothing is stored in ")
    assert "Not a directory" in store.warning
    assert "run from a folder that can be written" in store.warning


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_disables_the_store(tmp_path):
    tmp_path.chmod(0o500)
    store = RunStore(tmp_path)
    tmp_path.chmod(0o700)
    assert "Permission denied" in (store.warning or "")


def test_a_read_only_file_system_disables_the_store(tmp_path, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    store = RunStore(tmp_path)
    store.append([line()])
    assert "Read-only file system" in (store.warning or "")


def test_a_full_disk_keeps_what_was_stored(store, monkeypatch):
    store.append([line(0)])

    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        store.append([line(1), line(2)])
    store.append([line(3)])
    assert store.warning == (
        f"only the first 1 episodes are stored in {store.folder}: No space left on "
        "device; the report is complete all the same; free some space there"
    )
    episodes, cut = read_episodes(store.episodes_path)
    assert [episode.index for episode in episodes] == [0]
    assert cut is None


@contextmanager
def largest_file(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_half_a_line_is_taken_back(store):
    """The system really writes a part of the line first here."""
    one = line(0)
    with largest_file(2 * len(one)):
        store.append([one, line(1), line(2)])
    assert store.episodes_path.read_text() == one + "\n"
    assert "File too large" in (store.warning or "")
    assert "only the first 1 episodes are stored" in (store.warning or "")


def test_half_a_line_that_cannot_be_taken_back_is_left_out(store, monkeypatch):
    def refuse(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "ftruncate", refuse)
    one = line(0)
    with largest_file(2 * len(one)):
        store.append([one, line(1)])
    episodes, cut = read_episodes(store.episodes_path)
    assert [episode.index for episode in episodes] == [0]
    assert "line 2 is cut" in (cut or "")


def test_a_summary_that_cannot_be_written_is_a_warning(store):
    store.append([line(0)])
    (store.folder / "summary.json").mkdir()
    store.write_summary({})
    assert "only the first 1 episodes are stored" in (store.warning or "")
    assert not list(store.folder.glob("*.partial"))


def test_a_folder_that_was_deleted_during_the_run_is_a_warning(store):
    shutil.rmtree(store.folder)
    store.write_summary({})
    assert "No such file or directory" in (store.warning or "")


def test_json_goes_to_pipes_as_well(tmp_path):
    reader, writer = os.pipe()
    try:
        write_json(tmp_path / "x.json", {"b": 1})
        os.symlink(f"/dev/fd/{writer}", tmp_path / "pipe")
        write_json(tmp_path / "pipe", {"a": 1})
        assert os.read(reader, 100) == b'{\n  "a": 1\n}\n'
    finally:
        os.close(reader)
        os.close(writer)


def test_what_a_killed_run_was_writing_is_removed_when_it_goes_on(store, tmp_path):
    store.append([line(0)])
    store.add_prompts({"a": {"system": "one"}, "b": {"system": "two"}})
    store.close()
    for name in ("episodes.jsonl", "prompts.jsonl"):
        with (store.folder / name).open("ab") as file:
            file.write(b'{"half')
    (store.folder / "summary.json.1.partial").write_text("{")
    again = RunStore(tmp_path, resume=store.folder)
    again.append([line(1)])
    again.add_prompts({"b": {"system": "two"}, "c": {"system": "three"}})
    again.close()
    assert (again.id, again.warning) == (store.id, None)
    episodes, cut = read_episodes(store.episodes_path)
    assert ([episode.index for episode in episodes], cut) == ([0, 1], None)
    assert list(read_prompts(store.folder)) == ["a", "b", "c"]
    assert not list(store.folder.glob("*.partial"))


def test_a_run_that_was_killed_is_known_by_what_lacks(tmp_path):
    runs = tmp_path / ".agentgym" / "runs"
    assert ended_early(runs) is None
    store = RunStore(tmp_path)
    assert ended_early(runs) is None, "it goes on"
    store.close()
    assert ended_early(runs) == store.folder
    (store.folder / "summary.json").touch()
    assert ended_early(runs) is None
    # Only the latest is told of.
    (store.folder / "summary.json").unlink()
    later = runs / "29990101-120000-abcd"
    later.mkdir()
    for name in ("episodes.jsonl", "summary.json"):
        (later / name).touch()
    assert ended_early(runs) is None


def test_what_was_measured_by_an_episode_that_is_not_stored_is_dropped(tmp_path):
    line = {"scenario": "a", "split": "held_out", "case": 1, "phase": "after"}
    line |= {"repeat": 0, "version": 1, "outcome": "passed"}
    file = tmp_path / "measured.jsonl"
    drop_unstored(tmp_path, set())
    assert not file.exists()
    file.write_text("".join(json.dumps(line | {"id": name}) + "\n" for name in "abc"))
    before = file.stat()
    drop_unstored(tmp_path, {"a", "b", "c"})
    assert file.stat() == before
    drop_unstored(tmp_path, {"a", "c"})
    assert measured_ids(tmp_path, "after", 1) == ["c"], "the last of one task counts"
    assert [json.loads(row)["id"] for row in file.read_text().splitlines()] == [
        "a",
        "c",
    ]
    assert list(tmp_path.iterdir()) == [file]
