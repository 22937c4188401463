"""The process of a trial: `python -m ...trial_process FOLDER SECONDS BYTES`.

Each line that it writes is JSON: what it is at, and at last its verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError

_UNNEEDED = ("torch", "trio")
"""What takes seconds to import, and no tokenizer needs: transformers and the hub's
client take it for not installed."""
_RUN = 1000
"""Characters of one kind in a row: a regular expression that tries all ways to cut them
is not done in years."""
_MOST_KINDS = 100
_ALWAYS = " \n\taA1!é中"


def main() -> None:
    """Tries a folder's tokenizer and chat template, and says what came of it."""
    folder, seconds, memory = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in _UNNEEDED:
        sys.modules[name] = None  # type: ignore[assignment]
    _say(at="tokenizer")
    import transformers  # noqa: F401

    _limit(seconds, memory)
    _say(verdict=tried(folder))
    sys.stdout.flush()
    # What native code makes of its end is of no interest.
    os._exit(0)


def tried(folder: Path) -> str | None:
    """Why the model in a folder cannot be used, where that would cost its process.

    Args:
        folder: Of the model.

    Returns:
        None for what is good, and for what raises an ordinary error: who loads the
        model gets the same, and says it in more words.
    """
    from agentgym.policy.chat.opened_tokenizer import (
        is_its_own,
        not_opened,
        open_tokenizer,
    )

    try:
        tokenizer = open_tokenizer(folder)
        _say(at="chat template")
        verdict = _tried_template(folder, tokenizer)
        _say(at="tokenizer")
        for text in _texts(tokenizer):
            tokenizer(text, add_special_tokens=False)
        tokenizer.decode(list(range(min(len(tokenizer), _RUN))))
    except BaseException as error:
        if not is_its_own(error):
            raise
        grave = isinstance(error, MemoryError) or not isinstance(error, Exception)
        return not_opened(folder, error) if grave else None
    return verdict


def _tried_template(folder: Path, tokenizer: Any) -> str | None:
    from agentgym.policy.chat.opened_tokenizer import TOO_MUCH_MEMORY
    from agentgym.policy.chat.probe import find_dialect
    from agentgym.policy.folders.hub_cache import shown

    try:
        find_dialect(tokenizer, f"the model in {shown(folder)}")
    except UsageError as error:
        late = isinstance(error.__context__, TimeoutError)
        return str(error) if late or TOO_MUCH_MEMORY in str(error) else None
    return None


def _texts(tokenizer: Any) -> Iterator[str]:
    """Long runs of each character that the tokenizer's own expressions speak of."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kinds = dict.fromkeys(_ALWAYS)
    for name in ("pre_tokenizer", "normalizer"):
        step = getattr(backend, name, None)
        if step is not None:
            kinds |= dict.fromkeys(step.__getstate__().decode("utf-8", "replace"))
    for kind in islice(kinds, _MOST_KINDS):
        yield kind * _RUN + "\x00!"


def _limit(seconds: int, memory: int) -> None:
    """Limits what this process may still take.

    Args:
        seconds: Of computing.
        memory: Bytes of addresses, where the system says how many there are now.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + 1 + seconds
    _lower(resource.RLIMIT_CPU, until)
    _lower(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(OSError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        _lower(resource.RLIMIT_AS, int(pages) * resource.getpagesize() + memory)


def _lower(kind: int, limit: int) -> None:
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (limit, most))


def _say(**said: str | None) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
