"""Functions that a change is about: what they must do, and code that does or does not.

The project's tests call each of them with a value for which the old code, the right and
the wrong one do the same: only who reads the change sees what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .values import AMOUNTS, ARGUMENTS, QUALITIES, TIMES, VERBS

if TYPE_CHECKING:
    from .values import Values

OPERATORS = (
    ("add {b} to {a}", "+", "-", 0),
    ("subtract {b} from {a}", "-", "+", 0),
    ("multiply {a} by {b}", "*", "/", 1),
    ("divide {a} by {b}", "/", "*", 1),
)
"""What must be done, the operator that does it, its opposite, and a neutral value."""

UNITS = (
    ("hours", "minutes", 60, 3600),
    ("hours", "seconds", 3600, 60),
    ("minutes", "seconds", 60, 3600),
    ("days", "hours", 24, 60),
    ("weeks", "days", 7, 24),
)
"""What is given, what is wanted, the factor, and the factor of another unit."""

HEAD, BODY = 0, 1


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function of the project, before and after a change.

    Attributes:
        task: What the change must make of it.
        arguments: What callers pass.
        call: The values that a test passes.
        result: What comes behind the call in a test's assert.
        old: Its two lines before the change.
        right: Its two lines after a good change.
        wrong: Its two lines after a bad one.
        problem: What is wrong with the bad one.
        place: Which of its lines is wrong.
    """

    name: str
    task: str
    arguments: tuple[str, ...]
    call: str
    result: str
    old: tuple[str, str]
    right: tuple[str, str]
    wrong: tuple[str, str]
    problem: str
    place: int = BODY


def calculation(values: Values) -> Function:
    """It calculates; the wrong one does the opposite."""
    words, operator, opposite, neutral = values.rng.choice(OPERATORS)
    name = values.joined(QUALITIES, AMOUNTS)
    a, b = values.common_word(ARGUMENTS), values.common_word(ARGUMENTS)
    number, head = values.number(), f"def {name}({a}, {b}):"
    return Function(
        name=name,
        task=f"{name} must {words.format(a=a, b=b)}",
        arguments=(a, b),
        call=f"{number}, {neutral}",
        result=f" == {number}",
        old=(head, f"    return {a}"),
        right=(head, f"    return {a} {operator} {b}"),
        wrong=(head, f"    return {a} {opposite} {b}"),
        problem="bug",
    )


def limit(values: Values) -> Function:
    """It is true from a number on, or above it; the wrong one is off by one."""
    name, a = values.joined(VERBS, AMOUNTS), values.common_word(ARGUMENTS)
    number, before = values.number(), values.number()
    choices = (("from", ">=", ">"), ("above", ">", ">="))
    words, right, wrong = values.rng.choice(choices)
    head = f"def {name}({a}):"
    return Function(
        name=name,
        task=f"{name} must be true for {a} {words} {number}",
        arguments=(a,),
        call="100",
        result="",
        old=(head, f"    return {a} > {before}"),
        right=(head, f"    return {a} {right} {number}"),
        wrong=(head, f"    return {a} {wrong} {number}"),
        problem="bug",
    )


def conversion(values: Values) -> Function:
    """It converts a time; the wrong one has the factor of another unit."""
    given, wanted, factor, other = values.rng.choice(UNITS)
    name = values.joined(QUALITIES, TIMES)
    head = f"def {name}({given}):"
    return Function(
        name=name,
        task=f"{name} must be in {wanted}",
        arguments=(given,),
        call="0",
        result=" == 0",
        old=(head, f"    return {given}"),
        right=(head, f"    return {given} * {factor}"),
        wrong=(head, f"    return {given} * {other}"),
        problem="units",
    )


def parameter(values: Values) -> Function:
    """It gets one more parameter; the wrong one does not use it."""
    name = values.joined(QUALITIES, AMOUNTS)
    a, b = values.common_word(ARGUMENTS), values.common_word(ARGUMENTS)
    number, head = values.number(), f"def {name}({a}, {b}=0):"
    return Function(
        name=name,
        task=f"{name} must take {b} and add it to {a}",
        arguments=(a,),
        call=f"{number}",
        result=f" == {number}",
        old=(f"def {name}({a}):", f"    return {a}"),
        right=(head, f"    return {a} + {b}"),
        wrong=(head, f"    return {a}"),
        problem="unused",
        place=HEAD,
    )


def default(values: Values) -> Function:
    """It calculates with a default, which only the wrong one changes."""
    made = calculation(values)
    kept, changed = values.number(), values.number()

    def head(number: int) -> str:
        return made.old[HEAD].replace("):", f"={number}):")

    return Function(
        name=made.name,
        task=made.task,
        arguments=made.arguments,
        call=made.call,
        result=made.result,
        old=(head(kept), made.old[BODY]),
        right=(head(kept), made.right[BODY]),
        wrong=(head(changed), made.right[BODY]),
        problem="default",
        place=HEAD,
    )


FUNCTIONS = {
    "calculation": calculation,
    "limit": limit,
    "conversion": conversion,
    "parameter": parameter,
    "default": default,
}


def any_function(values: Values) -> Function:
    """One of any kind."""
    return values.rng.choice(list(FUNCTIONS.values()))(values)
