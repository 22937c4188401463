"""The command `import`: scenarios made of conversations that happened."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agentgym.commands.output_files import writing
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

_TARGET = Path("scenarios", "imported")
_CONFTEST = '''\
"""The tools answer as they did, and say so where they were never asked the same."""

import pytest

from agentgym import recorded_tools


@pytest.fixture
def tools(case):
    return recorded_tools(case.value)


@pytest.fixture
def instructions(case):
    return case.value["system"] or "You are a helpful assistant."
'''
_SCENARIO = '''\
"""Conversations that happened; the last turn of each is to be had again.

Each check was suggested by what happened: is that what should have happened? A case is
a line of cases.jsonl, which may be edited; remove the ones that are no good examples.
"""

from agentgym import dataset, scenario


@scenario(cases=dataset("cases.jsonl"))
def test_does_what_was_done(agent, case):
    run = agent.run(case.value["messages"])

    assert run.reply
    for call in case.value["calls"]:
        assert run.called(call["name"], **call["arguments"])
'''


def import_traces(options: argparse.Namespace) -> int:
    """Writes the cases, and the scenario that plays them."""
    from agentgym.traces.masking import Mask

    mask = None if options.keep_personal_data else Mask(options.mask)
    if options.mask and mask is None:
        raise UsageError("--mask masks personal data: leave --keep-personal-data out")
    folder: Path = options.to
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise UsageError(
            f"{folder} exists: name another folder with --to, or remove it"
        )
    left_out: Counter[str] = Counter()
    rows = list(_rows(options.traces, left_out))
    for why, count in left_out.items():
        print(f"left out {_count(count, 'conversation')}: {why}")
    if not rows:
        raise UsageError("no conversation of these files makes a case")
    if mask is not None:
        rows = [{**mask.conversation(row), "id": row["id"]} for row in rows]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
        (folder / "test_imported.py").write_text(_SCENARIO, encoding="utf-8")
        with (folder / "cases.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    print(f"wrote {_count(len(rows), 'case')} into {folder}")
    if mask is not None:
        masked = ", ".join(f"{kind} ({n:,})" for kind, n in mask.found.items())
        print(f"masked: {masked or 'nothing'}; names of people are not recognised")
    print(
        f"next: review the cases and the checks in {folder}, then\n"
        f"    pytest --agentgym {folder}\n"
        "The `agent` fixture is yours; without one it is a LangChain agent with the "
        "recorded tools."
    )
    return ExitCode.OK


def _rows(paths: Sequence[Path], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """The cases of all files, each id once: the longest of a conversation."""
    from agentgym.traces.past_conversation import NoCase, case_of
    from agentgym.traces.reading import read_traces

    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        kind, conversations = read_traces(path)
        print(f"{path}: {_count(len(conversations), 'conversation')}, {kind}")
        for conversation in conversations:
            try:
                row = case_of(conversation)
            except NoCase as why:
                left_out[str(why)] += 1
                continue
            before = found.get(row["id"])
            if before is not None:
                left_out["an earlier part, or a copy, of another one"] += 1
                if len(before["messages"]) >= len(row["messages"]):
                    continue
            found[row["id"]] = row
    yield from found.values()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def add_import_command(commands: Any) -> None:
    """Adds the command to the command line's parser."""
    command = commands.add_parser(
        "import",
        help="make scenarios of conversations that happened",
        description="Makes a case of each conversation in files of traces: OpenAI "
        "messages (JSON lines), OpenTelemetry GenAI spans (OTLP JSON), exports of "
        "LangSmith, Langfuse and Phoenix. The tools answer as they did; the calls are "
        "suggested as checks, to be reviewed.",
    )
    command.set_defaults(command=import_traces)
    command.add_argument(
        "traces", nargs="+", type=Path, metavar="TRACES", help="files of traces"
    )
    command.add_argument(
        "--to",
        type=Path,
        default=_TARGET,
        metavar="FOLDER",
        help=f"the new folder (default: {_TARGET})",
    )
    command.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="PATTERN",
        help="regular expression of more personal data to mask; may be given several "
        "times",
    )
    command.add_argument(
        "--keep-personal-data",
        action="store_true",
        help="mask nothing: by default e-mail addresses, phone and card numbers, "
        "IBANs, IP addresses and keys have stand-ins",
    )
