"""A folder with the project's files: read, searched, and its tests really run."""

from __future__ import annotations

import builtins
import shutil
import tempfile
import weakref
from pathlib import Path
from threading import RLock
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Checkout:
    """The files, in a folder that is made when they are first looked at.

    `close` removes the folder; else it goes with the object.

    Attributes:
        files: Texts by paths; another change has others.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._written: dict[str, str] = {}
        self._folder: Path | None = None
        self._remove: Callable[[], object] = bool
        # Some agents call several tools at once, in threads.
        self._lock = RLock()

    @property
    def folder(self) -> Path:
        """Where the files are."""
        with self._lock:
            if self._folder is None:
                made = tempfile.mkdtemp(prefix="agentgym-code-review-")
                self._folder = Path(made)
                self._remove = weakref.finalize(self, shutil.rmtree, made, True)
            self._write(self._folder)
            return self._folder

    def close(self) -> None:
        """Removes the folder."""
        self._remove()

    def _write(self, folder: Path) -> None:
        for path in self._written.keys() - self.files.keys():
            (folder / path).unlink()
        for path, text in self.files.items():
            if self._written.get(path) != text:
                (folder / path).parent.mkdir(exist_ok=True)
                (folder / path).write_text(text, encoding="utf-8")
        self._written = dict(self.files)

    def text(self, path: str) -> str:
        """What is in one of the files."""
        with self._lock:
            return (self.folder / path).read_text(encoding="utf-8")

    def search(self, text: str) -> list[tuple[str, int]]:
        """Where a text occurs: paths and lines."""
        with self._lock:
            return [
                (path, number)
                for path in sorted(self.files)
                for number, line in enumerate(self.text(path).splitlines(), 1)
                if text in line
            ]

    def run_tests(self) -> tuple[int, list[tuple[str, int]]]:
        """How many tests pass, and at which lines others fail."""
        passed, failed = 0, []
        with self._lock:
            for path in sorted(self.files):
                for line in _Imports(self).results(path):
                    passed += line is None
                    failed += [(path, line)] if line else []
        return passed, failed


class _Imports:
    """Imports within the folder only: many episodes share one `sys.modules`."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self._modules: dict[str, ModuleType] = {}

    def results(self, path: str) -> list[int | None]:
        """Runs the tests of a file: None for each that passes, or the line."""
        if not path.startswith("tests/"):
            return []
        try:
            module = self._module(path)
        except Exception as error:  # noqa: BLE001 - whatever the code raises
            return [_line_of(error, path)]
        tests = [f for name, f in vars(module).items() if name.startswith("test_")]
        lines: list[int | None] = []
        for test in tests:
            try:
                test()
            except Exception as error:  # noqa: BLE001
                lines.append(_line_of(error, path))
            else:
                lines.append(None)
        return lines

    def _module(self, path: str) -> ModuleType:
        if path not in self._modules:
            # The code is ours, made by `project`, and no tool can write a file.
            code = compile(self._checkout.text(path), path, "exec", dont_inherit=True)
            module = self._modules[path] = ModuleType(path)
            ours = {**vars(builtins), "__import__": self._import}
            module.__dict__["__builtins__"] = ours
            exec(code, module.__dict__)  # noqa: S102
        return self._modules[path]

    def _import(self, name: str, *others: Any) -> SimpleNamespace:
        """What `from core import prices` calls."""
        _, _, wanted, _ = others
        return SimpleNamespace(
            **{each: self._module(f"{name}/{each}.py") for each in wanted}
        )


def _line_of(error: BaseException, path: str) -> int:
    """The line of a file at which an error came up, or its first one."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
