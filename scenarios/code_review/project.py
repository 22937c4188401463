"""The project under review: drawn names, and the files that they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .language import NOTES, phrases
from .values import AMOUNTS, ARGUMENTS, FOLDERS, MODULES, QUALITIES

if TYPE_CHECKING:
    from .functions import Function
    from .values import Values

Files = dict[str, str]
README = "README.md"


@dataclass(frozen=True)
class Readme:
    """The README: a title and sentences with a slip that changes can mend.

    Attributes:
        notes: Each sentence as it is, and as it should be.
    """

    notes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, values: Values) -> Readme:
        """Draws three sentences of the split."""
        return cls(tuple(values.rng.sample(phrases(NOTES, values.split), 3)))

    @property
    def text(self) -> str:
        """As it is."""
        return text(["# README"], [wrong for wrong, _ in self.notes])

    def mended(self, place: int) -> str:
        """With one of the sentences as it should be."""
        wrong, right = self.notes[place]
        return self.text.replace(wrong, right)


@dataclass(frozen=True, kw_only=True)
class Project:
    """A module with a function, one with a caller of it, their tests, and a README.

    Attributes:
        function: What changes are about.
        lines: Its lines.
        name: The module that has it.
        caller: The module that has its caller.
        calling: The name of the caller.
        constant: A name and number in the module.
        other_constant: The same in the caller's module.
        fillers: Other functions of the module: their names and arguments.
        readme: The README.
        expected: What the test of the caller passes, and what comes behind that.
    """

    function: Function
    lines: tuple[str, str]
    folder: str
    name: str
    caller: str
    calling: str
    constant: tuple[str, int]
    other_constant: tuple[str, int]
    fillers: tuple[tuple[str, str], ...]
    readme: Readme
    expected: tuple[str, str]

    @classmethod
    def of(cls, values: Values, function: Function, readme: Readme) -> Project:
        """Draws what is not given.

        Args:
            values: Where names and numbers come from.
            function: What changes will be about.
            readme: The README.
        """
        return cls(
            function=function,
            lines=function.old,
            folder=values.common_word(FOLDERS),
            name=values.common_word(MODULES),
            caller=values.common_word(MODULES),
            calling=values.joined(QUALITIES, AMOUNTS),
            constant=(values.constant(), values.number()),
            other_constant=(values.constant(), values.number()),
            fillers=tuple(
                (values.joined(QUALITIES, AMOUNTS), values.common_word(ARGUMENTS))
                for _ in range(values.rng.randint(0, 2))
            ),
            readme=readme,
            expected=(function.call, function.result),
        )

    @property
    def module(self) -> str:
        """The file that has the function."""
        return f"{self.folder}/{self.name}.py"

    @property
    def callers(self) -> str:
        """The file that has the caller."""
        return f"{self.folder}/{self.caller}.py"

    @property
    def tests(self) -> str:
        """The file that tests the function."""
        return f"tests/test_{self.name}.py"

    @property
    def callers_tests(self) -> str:
        """The file that tests the caller."""
        return f"tests/test_{self.caller}.py"

    @property
    def call(self) -> str:
        """The line that calls the function, but in tests."""
        arguments = ", ".join(self.function.arguments)
        return f"    return {self.name}.{self.function.name}({arguments})"

    @property
    def files(self) -> Files:
        """All of them: texts by paths."""
        function = self.function
        return {
            README: self.readme.text,
            self.module: self._module(),
            self.callers: self._callers(),
            self.tests: self._tests(
                self.name, function.name, (function.call, function.result)
            ),
            self.callers_tests: self._tests(self.caller, self.calling, self.expected),
        }

    def renamed(self, name: str) -> Project:
        """The same with another name of the function."""
        head, body = self.lines
        function = replace(self.function, name=name)
        lines = (head.replace(self.function.name, name), body)
        return replace(self, function=function, lines=lines)

    def _module(self) -> str:
        constant, number = self.constant
        fillers = [
            [f"def {name}({argument}):", f"    return {argument}"]
            for name, argument in self.fillers
        ]
        return text([f"{constant} = {number}"], *fillers, self.lines)

    def _callers(self) -> str:
        constant, number = self.other_constant
        arguments = ", ".join(self.function.arguments)
        return text(
            [f"from {self.folder} import {self.name}"],
            [f"{constant} = {number}"],
            [f"def {self.calling}({arguments}):", self.call],
        )

    def _tests(self, module: str, function: str, case: tuple[str, str]) -> str:
        test = lines_of_test(module, function, case)
        return text([f"from {self.folder} import {module}"], test)


def text(*parts: list[str] | tuple[str, ...]) -> str:
    """Lines of a file, with an empty one between its parts."""
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def lines_of_test(module: str, function: str, case: tuple[str, str]) -> list[str]:
    """The lines of a test.

    Args:
        module: Where the function is.
        function: What is called.
        case: What is passed, and what comes behind the call.
    """
    call, result = case
    check = f"    assert {module}.{function}({call}){result}"
    return [f"def test_{function}():", check]


def line_of(text: str, line: str) -> int:
    """The number of a line in a text.

    Args:
        text: Of a file.
        line: The whole line.
    """
    return text.splitlines().index(line) + 1
