"""Runs on the other machine, as a script of its own: any Python from 3.8 will do.

It is sent there as it stands, so it needs nothing but the standard library. All of its
files lie in its own folder: `project/`, and `launches/<id>/` with `log`, `job.json`
(what runs, but never with what environment), `held` (locked as long as it runs) and
`ended` (the exit code).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

HOME = Path(__file__).resolve().parent
PROJECT, LAUNCHES, MANIFEST = "project", "launches", "manifest.json"
_READY, _PYTHON = "env.ready", "env/bin/python"
_HELD, _LOG, _JOB, _ENDED = "held", "log", "job.json", "ended"
_LEFT = ("runs", "agents")
_CARDS = ".agentgym/agents/*/v*/agent.json"
_SKIPPED = {".git", ".venv", "node_modules", "__pycache__"}
_KILLED = 128
"""A shell's code for a process that signal N killed is this and N."""
_PAUSE = 0.2
_BEGINNING = 300
"""Pauses until what was started has to say something."""


def look() -> None:
    """Says as JSON what this machine has, and whether a training runs here already."""
    _say(
        {
            "rsync": shutil.which("rsync") is not None,
            "home": str(HOME),
            "agentgym": _agentgym(),
            "launches": [
                {"id": folder.name, "runs": _runs(folder), "size": _size(folder / _LOG)}
                for folder in _launches()
            ],
        }
    )


def _agentgym() -> str | None:
    """The version of agentgym in the Python that runs this; None: it has none."""
    try:
        from agentgym.distribution import __version__
    except ImportError:
        return None
    # To import it would take a second.
    return __version__ if importlib.util.find_spec("pytest_agentgym") else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _uv_at_home() -> str | None:
    # A shell that nobody logs in to reads no profile, which says where it is.
    places = (Path.home() / ".local/bin/uv", Path.home() / ".cargo/bin/uv")
    return next((str(path) for path in places if path.is_file()), None)


def keep_only() -> None:
    """Removes what an earlier launch has sent, and this one does not send.

    What the project made here itself stays, and so does what was sent though it is no
    part of it, such as a model: a later launch may need it without naming it. The names
    come as JSON on standard input.
    """
    names = json.load(sys.stdin)
    project = HOME / PROJECT
    project.mkdir(exist_ok=True)
    for name in set(json.loads(_text(HOME / MANIFEST) or "[]")) - set(names):
        with contextlib.suppress(OSError):
            (project / name).unlink()
        for folder in (project / name).parents:
            if folder == project:
                break
            with contextlib.suppress(OSError):
                folder.rmdir()
    _write(HOME / MANIFEST, json.dumps(sorted(names)))


def unpack(folder: str) -> None:
    """Unpacks a tar archive from standard input.

    Args:
        folder: Where to, in the folder of this file.
    """
    target = HOME / folder
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
        for member in archive:
            # A link, or what is no folder any more, would be in the way.
            with contextlib.suppress(OSError):
                (target / member.name).unlink()
            archive.extract(member, target)


def pack(folder: str) -> None:
    """Writes a tar archive of what standard input names, as JSON, to standard output.

    Args:
        folder: Where these names are, in the folder of this file.
    """
    names = json.load(sys.stdin)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name in names:
            archive.add(HOME / folder / name, name, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return member if member.isfile() or member.isdir() else None


def make_ready() -> int:
    """Makes the environment, as standard input says as JSON; a second time it is quick.

    Returns:
        0, or 1 if it could not be made.
    """
    asked = json.load(sys.stdin)
    if _text(HOME / _READY) == asked["digest"]:
        return 0
    # Half an environment is none.
    with contextlib.suppress(OSError):
        (HOME / _READY).unlink()
    environment = {**os.environ, **asked["environment"]}
    for command in _commands(asked["install"], asked["name"], tuple(asked["oldest"])):
        ended = subprocess.run(
            command, cwd=str(HOME), env=environment, stdout=sys.stderr, check=False
        )
        if ended.returncode:
            return 1
    _write(HOME / _READY, asked["digest"])
    return 0


def _commands(install: list[str], name: str, oldest: tuple[int, ...]) -> list[Any]:
    """What makes the environment: uv if it is here, which has other Pythons, too.

    Args:
        install: Arguments of `pip install`.
        name: A distribution that may have changed while its version has not.
        oldest: The version of Python that it needs.
    """
    needed = ".".join(map(str, oldest))
    uv = shutil.which("uv") or _uv_at_home()
    if uv:
        again = f"--reinstall-package={name}"
        return [
            [uv, "venv", "--allow-existing", f"--python=>={needed}", "env"],
            [uv, "pip", "install", f"--python={HOME / _PYTHON}", again, *install],
        ]
    python = _newest_python(oldest)
    if python is None:
        print(
            f"training needs Python {needed} or newer, and here is "
            f"{sys.version_info[0]}.{sys.version_info[1]}: install one there, or uv, "
            "which gets one, or give --python",
            file=sys.stderr,
        )
        return [["false"]]
    return [
        [python, "-m", "venv", "env"],
        [str(HOME / _PYTHON), "-m", "pip", "install", *install],
    ]


def _newest_python(oldest: tuple[int, ...]) -> str | None:
    if sys.version_info >= oldest:
        return sys.executable
    names = (f"python3.{minor}" for minor in range(oldest[1], oldest[1] + 4))
    return next(filter(None, map(shutil.which, names)), None)


def start() -> None:
    """Starts what standard input has as JSON, in a session of its own."""
    job = json.load(sys.stdin)
    folder = HOME / LAUNCHES / job["id"]
    folder.mkdir(parents=True)
    _settle(job["root"])
    held = _hold(folder)
    if os.fork():
        return
    os.setsid()
    # A second fork: what has no terminal shall never get one.
    if os.fork():
        os._exit(0)
    with (folder / _LOG).open("ab", 0) as log, open(os.devnull, "rb") as nothing:
        for number, stream in enumerate((nothing, log, log)):
            os.dup2(stream.fileno(), number)
        _supervise(folder, job, held)
    os._exit(0)


def serve(job: str) -> int:
    """Runs a job in the foreground, and shows what it says.

    Args:
        job: Its file, in the folder of this file; it names the variables that it needs.
    """
    asked = json.loads((HOME / job).read_text(encoding="utf-8"))
    asked["environment"] = {}
    folder = HOME / LAUNCHES / asked["id"]
    # A machine that was taken away and came again begins anew.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _settle(asked["root"])
    held = _hold(folder)
    with (folder / _LOG).open("ab", 0) as log:
        if not os.fork():
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            _supervise(folder, asked, held)
            os._exit(0)
    os.close(held)
    _show(folder, 0, listened=False)
    return _code(folder) or 0


def _settle(root: str) -> None:
    """Has the cards of agents name base models in the project by their paths here.

    Args:
        root: The project's folder where it came from.
    """
    for card in (HOME / PROJECT).glob(_CARDS):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(card.read_text(encoding="utf-8"))
            inside = Path(about["base"]["spec"]).relative_to(root)
            about["base"]["spec"] = str(HOME / PROJECT / inside)
            _write(card, json.dumps(about, indent=2))


def _hold(folder: Path) -> int:
    handle = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _supervise(folder: Path, job: dict[str, Any], held: int) -> None:
    """Runs the job to its end; the lock goes with the last of both processes."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    code, before = 127, _left_now()
    try:
        process = subprocess.Popen(
            [job["python"] or str(HOME / _PYTHON), *job["arguments"]],
            cwd=str(HOME / PROJECT / job["folder"]),
            env={**os.environ, **job["environment"]},
            stdin=subprocess.DEVNULL,
            pass_fds=(held,),
            preexec_fn=_hear,
        )
        about = {"pid": process.pid, "before": before}
        _write(folder / _JOB, json.dumps(about))
        code = process.wait()
    except OSError as error:
        print(f"agentgym: {error}", file=sys.stderr)
    _write(folder / _ENDED, str(_KILLED - code if code < 0 else code))


def _hear() -> None:
    """A process that ignores a signal hands that on, and Ctrl-C must reach this one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def follow(id_: str, offset: str) -> None:
    """Shows what a launch says, until it ends or nobody listens any more.

    Args:
        id_: The launch's.
        offset: Bytes of it that are known.
    """
    _show(HOME / LAUNCHES / id_, int(offset), listened=True)


def _show(folder: Path, at: int, *, listened: bool) -> None:
    # A job of SkyPilot's begins a moment after it says so.
    for _ in range(_BEGINNING):
        if (folder / _LOG).exists():
            break
        time.sleep(_PAUSE)
    with (folder / _LOG).open("rb") as log:
        log.seek(at)
        while True:
            over = not _runs(folder)
            _pass_on(log)
            if over:
                return
            if not listened:
                time.sleep(_PAUSE)
            # Nobody writes to it: it ends when the one who asked has gone.
            elif select.select([sys.stdin], [], [], _PAUSE)[0]:
                return


def _pass_on(log: BinaryIO) -> None:
    while part := log.read(1 << 16):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def state(id_: str) -> None:
    """Says as JSON how it stands with a launch, and at its end what it has made.

    Args:
        id_: The launch's.
    """
    folder = HOME / LAUNCHES / id_
    runs = _runs(folder)
    names = [] if runs else _made_by(folder)
    about = {"runs": runs, "code": _code(folder), "names": names}
    _say({**about, "project": str(HOME / PROJECT)})


def _made_by(folder: Path) -> list[str]:
    """The runs and agents that a launch has made, or changed."""
    before = json.loads(_text(folder / _JOB) or "{}").get("before", {})
    now = _left_now()
    return sorted(name for name, age in now.items() if before.get(name) != age)


def interrupt(id_: str) -> None:
    """Asks a launch's training to stop, as Ctrl-C does.

    Args:
        id_: The launch's.
    """
    folder = HOME / LAUNCHES / id_
    while _runs(folder):
        about = _text(folder / _JOB)
        if about:
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(about)["pid"], signal.SIGINT)
            return
        # It is being started.
        time.sleep(_PAUSE)


def _left_now() -> dict[str, int]:
    """Folders of runs and of versions of agents, and when each last changed."""
    found = {}
    for place in _kept_folders():
        runs, agents = (place / name for name in _LEFT)
        for folder in (*runs.glob("*/"), *agents.glob("*/v*/")):
            if not folder.name.startswith("."):
                found[str(folder.relative_to(HOME / PROJECT))] = _changed(folder)
    return found


def _kept_folders() -> Iterator[Path]:
    """The `.agentgym` of the project, and those of its folders."""
    for path, folders, _ in os.walk(str(HOME / PROJECT)):
        if ".agentgym" in folders:
            yield Path(path, ".agentgym")
        folders[:] = [name for name in folders if name not in _SKIPPED | {".agentgym"}]


def _changed(folder: Path) -> int:
    times = [folder.stat().st_mtime_ns]
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime_ns)
    return max(times)


def _launches() -> list[Path]:
    """The folders of all launches, the oldest first."""
    found = (HOME / LAUNCHES).glob("*/")
    return sorted(found, key=lambda folder: folder.name)


def _runs(folder: Path) -> bool:
    """Whether what was started still runs: its lock is held."""
    if (folder / _ENDED).exists():
        return False
    try:
        handle = os.open(folder / _HELD, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _code(folder: Path) -> int | None:
    text = _text(folder / _ENDED)
    return int(text) if text else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _say(found: Any) -> None:
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()


def _main(name: str, *arguments: str) -> int:
    result: int | None = _COMMANDS[name](*arguments)
    return result or 0


_SENDING = (look, keep_only, unpack, make_ready)
_RUNNING = (start, serve, follow, state, interrupt)
_COMMANDS: dict[str, Any] = {
    each.__name__: each for each in (*_SENDING, *_RUNNING, pack)
}

if __name__ == "__main__":
    raise SystemExit(_main(*sys.argv[1:]))
