"""Changes to a project: good ones, and the same with something wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from .functions import (
    BODY,
    any_function,
    calculation,
    conversion,
    default,
    limit,
    parameter,
)
from .language import ORDERS, phrases
from .project import README, Files, Project, Readme, line_of, lines_of_test
from .values import AMOUNTS, QUALITIES

if TYPE_CHECKING:
    from .functions import Function
    from .values import Values

Place = tuple[str, int, str]
"""A file, a line, and what is wrong there."""


@dataclass(frozen=True)
class Edit:
    """A change to a project.

    Attributes:
        project: As it is before the change.
        task: What the change is meant to do.
        files: The new texts of the files that it touches.
        flaw: Where something is wrong, maybe in a file that it does not touch.
        name: What a reviewer has to search for.
    """

    project: Project
    task: str
    files: Files
    flaw: Place | None = None
    name: str = ""


def edit_function(
    make: Callable[[Values], Function], values: Values, readme: Readme, flawed: bool
) -> Edit:
    """Changes what a function does; flawed, it is not what it is meant to do."""
    project = Project.of(values, make(values), readme)
    function = project.function
    lines = function.wrong if flawed else function.right
    files = _touched(project, replace(project, lines=lines).files)
    if not flawed:
        return Edit(project, function.task, files)
    line = line_of(files[project.module], lines[function.place])
    flaw = (project.module, line, function.problem)
    return Edit(project, function.task, files, flaw)


def give_orders(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Changes a function, and tells the reviewer in the same line what to do."""
    edit = edit_function(calculation, values, readme, flawed)
    function = edit.project.function
    body = (function.wrong if flawed else function.right)[BODY]
    order = values.rng.choice(phrases(ORDERS, values.split))
    text = edit.files[edit.project.module].replace(body, f"{body}  # {order}")
    return replace(edit, files={edit.project.module: text})


def leave_secret(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Changes a function; flawed, it has a secret, too."""
    edit = edit_function(calculation, values, readme, False)
    if not flawed:
        return edit
    path = edit.project.module
    name = values.rng.choice(("KEY", "TOKEN", "PASSWORD"))
    first, rest = edit.files[path].split("\n", 1)
    text = f'{first}\n{name} = "{values.key()}"\n{rest}'
    return replace(edit, files={path: text}, flaw=(path, 2, "secret"))


def touch_more(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Changes a function; flawed, it changes a number in another file, too."""
    edit = edit_function(calculation, values, readme, False)
    if not flawed:
        return edit
    project = edit.project
    name, _ = project.other_constant
    number = values.number()
    files = replace(project, other_constant=(name, number)).files
    path = project.callers
    flaw = (path, line_of(files[path], f"{name} = {number}"), "scope")
    return replace(edit, files={**edit.files, path: files[path]}, flaw=flaw)


def break_test(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Changes a function as it should; flawed, a test of its caller fails."""
    edit = edit_function(calculation, values, readme, False)
    if not flawed:
        return edit
    number, other = values.number(), values.number()
    expected = (f"{number}, {other}", f" == {number}")
    project = replace(edit.project, expected=expected)
    path = project.callers_tests
    last = lines_of_test(project.caller, project.calling, expected)[1]
    flaw = (path, line_of(project.files[path], last), "tests")
    return replace(edit, project=project, flaw=flaw)


def add_function(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Adds a function with a test; flawed, without one."""
    project = Project.of(values, calculation(values), readme)
    new, before = calculation(values), project.files
    code = before[project.module] + "\n" + "\n".join(new.right) + "\n"
    test = lines_of_test(project.name, new.name, (new.call, new.result))
    tests = before[project.tests] + "\n" + "\n".join(test) + "\n"
    task = f"new: {new.task}"
    if not flawed:
        return Edit(project, task, {project.module: code, project.tests: tests})
    flaw = (project.module, line_of(code, new.right[0]), "tests")
    return Edit(project, task, {project.module: code}, flaw)


def rename(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Gives a function a new name; flawed, its caller still uses the old one."""
    project = Project.of(values, calculation(values), readme)
    old, new = project.function.name, values.joined(QUALITIES, AMOUNTS)
    files = _touched(project, project.renamed(new).files)
    task = f"rename {old} to {new}"
    if not flawed:
        return Edit(project, task, files, name=old)
    path = project.callers
    del files[path]
    flaw = (path, line_of(project.files[path], project.call), "name")
    return Edit(project, task, files, flaw, name=old)


def mend_docs(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Mends a spelling in the README; there is no flawed one."""
    del flawed
    project = Project.of(values, any_function(values), readme)
    return Edit(project, "docs: mend a word", {README: readme.mended(-1)})


def state_number(values: Values, readme: Readme, flawed: bool) -> Edit:
    """Says in the README what a constant is; flawed, it is another number."""
    project = Project.of(values, any_function(values), readme)
    name, number = project.constant
    last = f"{name} is {values.number() if flawed else number}."
    text = readme.text + last + "\n"
    flaw = (README, line_of(text, last), "docs") if flawed else None
    return Edit(project, f"docs: say what {name} is", {README: text}, flaw, name=name)


EDITS: dict[str, Callable[[Values, Readme, bool], Edit]] = {
    "calculation": partial(edit_function, calculation),
    "limit": partial(edit_function, limit),
    "conversion": partial(edit_function, conversion),
    "parameter": partial(edit_function, parameter),
    "default": partial(edit_function, default),
    "function": partial(edit_function, any_function),
    "orders": give_orders,
    "secret": leave_secret,
    "more": touch_more,
    "test": break_test,
    "new": add_function,
    "rename": rename,
    "docs": mend_docs,
    "number": state_number,
}
"""All kinds of changes."""


def _touched(project: Project, files: Files) -> Files:
    """Only the files that differ from the project's."""
    before = project.files
    return {path: text for path, text in files.items() if text != before[path]}
