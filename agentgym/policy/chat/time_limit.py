"""Ends what a model's own chat template does, if it does not end by itself."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _TookTooLong(BaseException):
    """No `Exception`: a template's own handlers and ours would take it for another."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Within it this thread has so long; it may be any thread.

    What one single call does outside of Python, such as making a text of a gigabyte,
    is not interrupted before that is over.

    Args:
        seconds: Of wall time.

    Raises:
        TimeoutError: They were not enough.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    lock, over = threading.Lock(), False

    def interrupt() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    thread, ctypes.py_object(_TookTooLong)
                )

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    try:
        try:
            # It may be over before this has returned.
            timer.start()
            yield
        finally:
            with lock:
                over = True
                # One that has not been raised yet never is.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)
            timer.cancel()
    except _TookTooLong:
        raise TimeoutError from None
