"""Warnings while episodes run in threads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_as_warnings() -> Iterator[None]:
    """Shows the warnings that the filters would raise, while active.

    Filters belong to the process. A library that switches them off for a moment in one
    thread, as LangChain does, switches them on again while another thread relies on
    theirs: an episode would fail by chance.
    """
    with warnings.catch_warnings():
        shown = [
            ("default" if action == "error" else action, *rest)
            for action, *rest in warnings.filters
        ]
        warnings.filters[:] = shown  # type: ignore[index]
        # Python sees only so that the filters have changed.
        warnings.simplefilter("default", append=True)
        yield
