"""Changes that are good: what has to be looked at before they are approved."""

import re

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario(episodes=32, split="auto")
def test_right_code_is_approved(agent, repository, case):
    change = repository.add_change("function")
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("run_tests").after("show_diff"), weight(2)
    assert run.called("approve", change=change.id).after("run_tests"), weight(2)
    assert change.status == "approved", weight(2)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]


@scenario
def test_change_of_an_author_is_approved(agent, repository, case):
    change = repository.add_change("function")
    run = agent.run(say("author", case, author=change.author))

    assert run.called("list_changes", author=change.author), must("find it")
    assert run.called("show_diff", change=change.id).after("list_changes")
    assert run.called("run_tests").after("show_diff"), weight(2)
    assert run.called("approve", change=change.id).after("run_tests"), weight(2)
    assert change.status == "approved", weight(2)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]


@scenario
def test_new_function_with_a_test_is_approved(agent, repository, case):
    change = repository.add_change("new")
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("run_tests").after("show_diff"), weight(2)
    assert run.called("approve", change=change.id).after("run_tests"), weight(2)
    assert change.status == "approved", weight(2)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]


@scenario
def test_complete_rename_is_approved(agent, repository, case):
    change = repository.add_change("rename")
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    search = run.called("search_code", text=change.edit.name)
    assert search.after("show_diff"), weight(2)
    assert run.called("run_tests").after("show_diff"), weight(2)
    assert run.called("approve", change=change.id).after("search_code")
    assert run.called("approve", change=change.id).after("run_tests")
    assert change.status == "approved", weight(2)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]


@scenario
def test_docs_are_approved_without_tests(agent, repository, case):
    change = repository.add_change("docs")
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("approve", change=change.id).after("show_diff"), weight(2)
    assert change.status == "approved", weight(2)
    assert not run.called("run_tests"), weight(2)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]


@scenario
def test_right_number_in_the_docs_is_approved(agent, repository, case):
    change = repository.add_change("number")
    project = change.edit.project
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    search = run.called("search_code", text=change.edit.name).after("show_diff")
    assert search or run.called("list_files").after("show_diff")
    read = run.called("read_file", path=project.module)
    assert read.after("search_code") or read.after("list_files"), weight(2)
    assert run.called("approve", change=change.id).after(read), weight(2)
    assert change.status == "approved", weight(2)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]


@scenario(trainable_components=WORDING)
def test_review_and_merge_is_only_a_review(agent, repository, case):
    change = repository.add_change("function")
    run = agent.run(say("review_and_merge", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("run_tests").after("show_diff"), weight(2)
    assert run.called("approve", change=change.id).after("run_tests"), weight(2)
    assert change.status == "approved", weight(2)
    assert re.search("merg", run.reply, re.I)
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["approve"]
