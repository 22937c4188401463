"""Fixtures that change the whole process, or belong to one item of pytest."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Literal

import pytest
from _pytest import subtests
from _pytest.logging import caplog_handler_key, caplog_records_key

from agentgym.errors import UsageError
from agentgym.recording.recorder import Recorder, current

CAPTURING = frozenset({"capfd", "capfdbinary", "capsys", "capsysbinary", "capteesys"})
"""Fixtures that take what is printed for themselves."""

PROCESS_WIDE = CAPTURING | {
    *("caplog", "monkeypatch", "policy_environment", "recwarn"),
    # Other plugins': they replace attributes, the clock, files, sockets or transports.
    *("fake_process", "fp", "freezer", "fs", "mocker", "requests_mock", "respx_mock"),
    *("socket_disabled", "socket_enabled", "time_machine"),
}
"""Fixtures that change the whole process: episodes that use them run one at a time."""

SUBTESTS = getattr(subtests.subtests, "_fixture_function", None)
"""The function behind pytest's `subtests`."""


def check_alone(item: pytest.Function, name: str) -> None:
    """Checks that a fixture that changes the whole process may be made.

    Args:
        item: The scenario.
        name: The fixture's name.

    Raises:
        UsageError: It is asked for while other episodes run beside this one.
    """
    alone = getattr(item, "isolated", False)
    if alone or name not in PROCESS_WIDE:
        return
    if PROCESS_WIDE.isdisjoint(item.fixturenames):
        raise UsageError(
            f"{item.nodeid}: {name!r} changes the whole process, so episodes that use "
            "it run one at a time, which must be known before they begin: name it as "
            "an argument of the scenario or of a fixture, instead of "
            "request.getfixturevalue()"
        )


class EpisodeLog:
    """The records of `caplog` in one episode, phase by phase as in an ordinary test.

    pytest empties them at each phase of an item, but an item has many episodes.

    Args:
        item: The scenario; its episodes run one at a time.
    """

    def __init__(self, item: pytest.Function) -> None:
        self._item = item
        self._episode: Recorder | None = None
        # There is none with `-p no:logging`.
        self._handler: Any = item.stash.get(caplog_handler_key, None)

    def enter(self, phase: Literal["setup", "call", "teardown"]) -> None:
        """A phase begins: it has no records yet, those before it are kept apart."""
        handler = self._handler
        if handler is None:
            return
        if phase == "setup":
            self._episode = current()
            handler.filters[:] = [self._is_ours]
            self._item.stash[caplog_records_key] = {}
        handler.reset()
        self._item.stash[caplog_records_key][phase] = handler.records

    def _is_ours(self, _: logging.LogRecord) -> bool:
        """Whether it is not of an episode that was abandoned, and still runs."""
        return current() in (None, self._episode)


class EpisodeSubtests:
    """`subtests` within an episode, where all asserts are judged in any case.

    pytest's own swallows what its block raises, and reports it as another item.
    """

    def test(self, _msg: str | None = None, **_: Any) -> Any:
        """A block whose asserts are checks of the scenario like all others."""
        return contextlib.nullcontext()
