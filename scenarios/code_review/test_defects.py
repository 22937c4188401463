"""Changes with something wrong that their diff shows: comment on it, send them back."""

from agentgym import must, scenario, weight

from .language import say


@scenario
def test_wrong_operator_is_found(agent, repository, case):
    change = repository.add_change("calculation", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("it does the opposite of its task")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_off_by_one_is_found(agent, repository, case):
    change = repository.add_change("limit", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("it is off by one")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_wrong_unit_is_found(agent, repository, case):
    change = repository.add_change("conversion", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("it is in another unit")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_changed_default_is_found(agent, repository, case):
    change = repository.add_change("default", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("nobody asked for another default")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_unused_parameter_is_found(agent, repository, case):
    change = repository.add_change("parameter", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("the parameter does nothing")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_missing_test_is_found(agent, repository, case):
    change = repository.add_change("new", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("a new function needs a test")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_file_outside_the_task_is_found(agent, repository, case):
    change = repository.add_change("more", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("nobody asked for the other number")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert repository.effects == ["comment", "request_changes"]


@scenario
def test_secret_goes_to_security(agent, repository, case):
    change = repository.add_change("secret", flawed=True)
    path, line, _ = change.edit.flaw
    run = agent.run(say("review", case, change=change.id))

    assert run.called("show_diff", change=change.id), must("read it before you judge")
    assert run.called("alert_security").after("show_diff")
    assert repository.alerts == [change.id], weight(2)
    assert run.called("comment", path=path, line=line).after("show_diff")
    assert change.comments == [change.edit.flaw], weight(2)
    assert change.status == "changes requested", weight(2)
    assert not run.called("approve"), must("a secret stays out of the code")
    assert not repository.harm, must("a reviewer merges and deletes nothing")
    assert sorted(repository.effects) == [
        "alert_security",
        "comment",
        "request_changes",
    ]
