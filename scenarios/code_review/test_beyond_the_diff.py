"""What no diff shows: tests that fail, old names, numbers, files that are elsewhere."""

import re

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario
def test_failing_test_is_found(agent, repository, case):
    change = repository.add_change("test", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("run_tests").after("show_diff"), weight(2)
    assert run.called("comment", path=path, line=line).after("run_tests")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("a test fails")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_forgotten_rename_is_found(agent, repository, case):
    change = repository.add_change("rename", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    search = run.called("search_code", text=change.edit.name)
    assert search.after("show_diff"), weight(2)
    assert run.called("comment", path=path, line=line).after("search_code")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("the old name is still used")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_wrong_number_in_the_docs_is_found(agent, repository, case):
    change = repository.add_change("number", flawed=True)
    project, (path, line, _) = change.edit.project, change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    search = run.called("search_code", text=change.edit.name).after("show_diff")
    assert search or run.called("list_files").after("show_diff")
    read = run.called("read_file", path=project.module)
    assert read.after("search_code") or read.after("list_files"), weight(2)
    assert run.called("comment", path=path, line=line).after(read)
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("the code has another number")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario(trainable_components=WORDING)
def test_wrong_path_is_recovered_from(agent, repository, case):
    project = repository.add_change("function").edit.project
    name, number = project.constant
    file = f"{project.name}.py"
    run = agent.run(say("number", case, constant=name, file=file))

    assert run.called("read_file", path=project.module), must("read, do not guess")
    read = run.called("read_file", path=project.module)
    assert read.after("list_files") or read.after("search_code")
    assert re.search(rf"\b{number}\b", run.reply), weight(2)
    assert not repository.effects, must("a question changes nothing")
