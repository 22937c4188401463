"""A chat template that does not end."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

pytest.importorskip("transformers")

from agentgym.errors import UsageError
from agentgym.policy.chat import probe
from agentgym.policy.chat.time_limit import time_limit
from tests.made_dialects import made_dialect

ENDLESS = (
    "{% for a in range(90000) %}{% for b in range(90000) %}"
    "{% for c in range(90000) %}{% endfor %}{% endfor %}{% endfor %}"
)


def test_a_template_that_loops_costs_one_sentence(monkeypatch):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.3)
    with pytest.raises(UsageError) as error:
        made_dialect(ENDLESS)
    assert str(error.value) == (
        "the model: its chat template did not render a conversation of three messages "
        "within 0.3 s: it loops, or is not meant to be used"
    )


def test_it_holds_in_any_thread_and_for_that_thread_only():
    ended = []

    def loop():
        try:
            with time_limit(0.2):
                while True:
                    pass
        except TimeoutError:
            ended.append(threading.current_thread())

    threads = [threading.Thread(target=loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(ended) == set(threads)


def test_what_ends_in_time_is_left_alone():
    for _ in range(100):
        # A busy machine may well take longer.
        with contextlib.suppress(TimeoutError), time_limit(0.001):
            pass
    # Nothing comes later.
    time.sleep(0.05)


def test_another_error_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), time_limit(10):
        1 / 0  # noqa: B018
