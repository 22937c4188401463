"""Verdicts on disk: the same question is asked once, by whichever run or process."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


class VerdictCache:
    """One small file per verdict, each written whole; safe for many processes.

    What cannot be read or written is no verdict: the judge is asked again.

    Args:
        folder: Where they are; made when the first one is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> tuple[bool, str] | None:
        """The verdict and its reason, if there is one."""
        try:
            stored = json.loads(self._path(key).read_text(encoding="utf-8"))
            passed, reason = stored["pass"], stored["reason"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not isinstance(passed, bool) or not isinstance(reason, str):
            return None
        return passed, reason

    def put(self, key: str, passed: bool, reason: str, **about: Any) -> None:
        """Keeps a verdict, with what helps people who look into the file.

        Args:
            key: Of the question; see `key_of`.
            passed: The verdict.
            reason: The judge's words.
            **about: Model, criterion and the like; they are never read back.
        """
        path = self._path(key)
        text = json.dumps({"pass": passed, "reason": reason, **about}, indent=2)
        partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_text(text + "\n", encoding="utf-8")
                partial.replace(path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}.json"


def key_of(*parts: Any) -> str:
    """The key of a question: everything that its answer depends on."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
