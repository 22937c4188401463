"""Acts on a package once somebody has imported it, and never imports it itself."""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def when_imported(package: str, action: Callable[[], object]) -> None:
    """Calls an action as soon as a package is there, perhaps now.

    Args:
        package: A top-level one.
        action: What it raises is swallowed: the import is somebody else's, and a
            package of another version, or of another name's owner, is none of ours.
    """
    module = sys.modules.get(package)
    if module is not None and not _is_being_imported(module):
        _try(action)
        return
    _finder.actions[package] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def _try(action: Callable[[], object]) -> None:
    with suppress(Exception):
        action()


class _Finder:
    """Lets others find the packages, and acts after they have been executed."""

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[], object]] = {}
        self._asking = threading.local()

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of a package that is waited for; None of all others.

        Args:
            name: Of the module.
            path: Of its package; not needed.
            target: What is reloaded; not needed.
        """
        if name not in self.actions or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.now = False
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader, name)
        return spec

    def _follow(self, loader: Any, name: str) -> None:
        own = loader.exec_module

        @functools.wraps(own)
        def exec_module(module: ModuleType) -> None:
            own(module)
            action = self.actions.pop(name, None)
            if action is not None:
                _try(action)

        # Not another loader: resources are read by this very one.
        with suppress(AttributeError):
            loader.exec_module = exec_module


_finder = _Finder()
