"""Chat templates of public packages, tried: one row each, as a table in Markdown.

    python benchmarks/families.py [--scratch FOLDER] [--vllm PYTHON] [NAME ...]

llama-cpp-python and xinference ship the templates of some 150 models. Each is given a
tokenizer of bytes with the tokens that it marks, and is then

- found: a call put in is read from what the template renders, or it is refused;
- parsed: six replies with calls, rendered by the template itself, come back;
- malformed: 240 of these with a change (cut off, a piece lost, a mark put in, another
  reply behind) are read without an error;
- spliced: a conversation of three turns goes on with exactly the sampled tokens;
- components: arguments and the tool's name are told apart.

With `--vllm`, the Python of an environment with vLLM, its parser of the same family
reads the same 246 texts. `same` counts equal answers, `more` the texts in which we see
a call that vLLM does not, which should be none; the rest vLLM repairs, and we do not.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agentgym.errors import UsageError
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.chat.dialect import Dialect, common_length, schemas
from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.chat.prompt_messages import PromptError, normal_message
from agentgym.training.batch.segments import segment
from tests.made_dialects import made_tokenizer

PACKAGES = {"llama-cpp-python": "0.3.36", "xinference": "4.1.0"}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Does it.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string"},
                    "count": {"type": "integer"},
                },
            },
        },
    }
    for name in ("look_up", "stop")
]
USER: dict[str, Any] = {"role": "user", "content": "hello"}
Calls = list[tuple[str, dict[str, Any]]]
REPLIES: list[tuple[Calls, str]] = [
    ([("look_up", {"place": 'Zürich "x"', "count": 3})], ""),
    ([("look_up", {"place": "A1", "count": 3})], "Let me see."),
    ([("stop", {})], ""),
    ([("look_up", {"place": "a", "count": -1}), ("stop", {})], ""),
    ([("look_up", {"place": "true", "count": 7})], ""),
    ([("look_up", {"place": "a\nb {c} [d] <e>, f", "count": 7})], ""),
]
CHANGES = 240
VLLM = """
import json, logging, os, sys
os.environ.update(VLLM_LOGGING_LEVEL="CRITICAL", VLLM_TARGET_DEVICE="cpu")
logging.disable(logging.CRITICAL)
out, sys.stdout = sys.stdout, sys.stderr
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser.parser_manager import ParserManager
for line in sys.stdin:
    job = json.loads(line)
    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    kind = ParserManager.get_parser(
        tool_parser_name=job["parser"], enable_auto_tools=True
    )
    request = ChatCompletionRequest(
        messages=[{"role": "user", "content": "x"}],
        model="m", tools=job["tools"], tool_choice="auto",
    )
    answers = []
    for text in job["texts"]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        try:
            _, _, calls = kind(tokenizer, request.tools).parse(
                text, request, enable_auto_tools=True, model_output_token_ids=ids
            )
            answers.append([[call.name, call.arguments] for call in calls or []])
        except Exception as error:
            answers.append(repr(error)[:200])
    print(json.dumps(answers), file=out, flush=True)
"""


def templates(scratch: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of the templates that the packages ship."""
    for package, version in PACKAGES.items():
        if not [*scratch.glob(f"{package.replace('-', '_')}-{version}*")]:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            source = ["--no-binary", package] if package.startswith("llama") else []
            command += [*source, "--dest", str(scratch), f"{package}=={version}"]
            subprocess.run(command, check=True)
    (archive,) = scratch.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as files:
        members = [m for m in files if "/models/templates/" in m.name]
        for member in sorted(members, key=lambda m: m.name):
            stream = files.extractfile(member)
            if stream is not None and member.name.endswith(".jinja"):
                yield Path(member.name).stem, stream.read().decode()
    (wheel,) = scratch.glob("xinference-*.whl")
    with zipfile.ZipFile(wheel) as files_of:
        for name in sorted(files_of.namelist()):
            if re.search(r"model/llm/models/.*\.json$", name):
                about = json.loads(files_of.read(name))
                for model in about if isinstance(about, list) else [about]:
                    if "tool" in (model.get("chat_template") or ""):
                        yield model["model_name"], model["chat_template"]


def message(calls: Calls, content: str) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": content}
    made["tool_calls"] = [
        {
            "id": f"call0000{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(given)},
        }
        for number, (name, given) in enumerate(calls)
    ]
    return made


def reply_ids(dialect: Dialect, said: dict[str, Any]) -> list[int]:
    """A reply as the template writes it, without thoughts and with its end."""
    messages = [USER, normal_message(0, said)]
    begun = dialect.encode(dialect.render([USER], TOOLS, generation=True))
    whole = dialect.encode(dialect.render(messages, TOOLS, generation=False))
    ids = whole[common_length(begun, whole) :]
    if dialect.calls.name != "harmony":
        # Command R writes the beginning of the next reply behind each one.
        ends = [at for at, token in enumerate(ids) if token in dialect.ends.values()]
        ids = ids[: ends[0] + 1] if ends and ends[0] else ids
    text, closing = dialect.text(ids), dialect.channels.closing
    if closing and closing in text:
        ids = dialect.encode(text.partition(closing)[2])
    return ids


def without_end(dialect: Dialect, ids: list[int]) -> str:
    text = dialect.text(ids)
    ends = [end for end in dialect.ends if text.rstrip().endswith(end)]
    return text.rstrip().removesuffix(ends[0]) if ends else text


def changed(text: str, texts: list[str], marks: list[str], draw: random.Random) -> str:
    at = draw.randrange(len(text))
    match draw.randrange(5):
        case 0:
            return text[:at]
        case 1 | 2:
            return text[:at] + text[at + draw.choice((1, 1, 2, 5, 12)) :]
        case 3:
            return text[:at] + draw.choice(marks) + text[at:]
    return text + draw.choice(("\n", "", ", ", " and ")) + draw.choice(texts)


def calls_in(dialect: Dialect, text: str) -> list[tuple[str, Any]]:
    reply = dialect.parse(text, tools=schemas(TOOLS))
    return [(call.name, value(call.arguments)) for call in reply.tool_calls]


def value(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def splices(dialect: Dialect) -> bool:
    """Whether three turns with calls go on with exactly the sampled tokens."""
    template, messages = ChatTemplate(dialect), [USER]
    for turn in range(3):
        prompt = template.prompt(messages, TOOLS)
        said = message([("look_up", {"place": "A1", "count": turn})], "")
        said["tool_calls"][0]["id"] = f"call0000{turn}"
        ids = reply_ids(dialect, said)
        if prompt.thinking:
            ids = [*dialect.encode(dialect.channels.closing), *ids]
        end = next((i for i, t in enumerate(ids) if t in dialect.ends.values()), None)
        ids = ids if end is None else ids[: end + 1]
        template.remember(prompt, said, ids)
        result = {"role": "tool", "content": "x", "tool_call_id": f"call0000{turn}"}
        messages = [*messages, said, result]
        following = template.prompt(messages, TOOLS).ids
        if following[: len(prompt.ids) + len(ids)] != [*prompt.ids, *ids]:
            return False
    return True


def tells_components(dialect: Dialect) -> bool:
    ids = dialect.encode(without_end(dialect, reply_ids(dialect, message(*REPLIES[1]))))
    pieces = dialect.pieces(ids)
    found = segment(pieces, dialect, ended=False)
    parts: dict[str, bytes] = {}
    for component, piece in zip(found, pieces, strict=True):
        parts[component] = parts.get(component, b"") + piece
    return (
        b"A1" in parts.get("parameter_selection", b"")
        and b"look_up" in parts.get("tool_selection", b"")
        and b"look_up" not in parts["parameter_selection"]
    )


class VllmParsers:
    """vLLM's parsers, in a process of its environment."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-c", VLLM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def compare(self, dialect: Dialect, texts: list[str]) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            dialect.tokenizer.save_pretrained(folder)
            job = {"tokenizer": folder, "parser": dialect.calls.vllm_parser}
            job |= {"texts": texts, "tools": TOOLS}
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            answers = json.loads(stdout.readline() or "[]")
        same = more = 0
        for text, answer in zip(texts, answers, strict=False):
            theirs = [] if isinstance(answer, str) else answer
            ours = calls_in(dialect, text)
            equal = ours == [(name, value(given)) for name, given in theirs]
            same += equal
            more += not equal and bool(ours)
        return f"{same}/{len(texts)}, {more} more" if answers else "?"


def row(name: str, dialect: Dialect, vllm: VllmParsers | None) -> list[str]:
    texts, back = [], 0
    for calls, content in REPLIES:
        try:
            ids = reply_ids(dialect, message(calls, content))
        except PromptError:  # Llama 3 takes one call a turn.
            continue
        texts.append(without_end(dialect, ids))
        back += calls_in(dialect, texts[-1]) == calls
    draw = random.Random(name)
    marks = [t for t in dialect.added if t in "".join(texts)]
    marks += [*"{}[]\",:\n=()<>/' x", "arguments", "name"]
    tried = [changed(draw.choice(texts), texts, marks, draw) for _ in range(CHANGES)]
    for text in tried:
        dialect.parse(text, tools=schemas(TOOLS))
    compared = ""
    if vllm is not None:
        known = dialect.calls.vllm_parser not in (None, "openai")
        compared = vllm.compare(dialect, texts + tried) if known else "not compared"
    return [
        name,
        dialect.calls.name,
        dialect.calls.vllm_parser or "none",
        dialect.reasoning_parser or "",
        f"{back}/{len(texts)}",
        str(len(tried)),
        "yes" if splices(dialect) else "no",
        "yes" if tells_components(dialect) else "no",
        compared,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of a name")
    parser.add_argument("--scratch", type=Path, default=Path(".benchmarks/families"))
    parser.add_argument("--vllm", metavar="PYTHON")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    vllm = VllmParsers(options.vllm) if options.vllm else None
    head = "template | format | tool parser | reasoning parser | parsed | malformed"
    head = f"| {head} | spliced | components | as vLLM |"
    print(head, "|---" * 9 + "|", sep="\n", flush=True)
    refused = []
    for name, text in templates(options.scratch):
        if options.names and not any(part in name for part in options.names):
            continue
        try:
            dialect = find_dialect(made_tokenizer(text), name)
        except UsageError as error:
            refused.append(f"| {name} | {str(error).replace('|', chr(92) + '|')} |")
            continue
        print(f"| {' | '.join(row(name, dialect, vllm))} |", flush=True)
    print("", "| refused | because |", "|---|---|", *refused, sep="\n")


if __name__ == "__main__":
    main()
