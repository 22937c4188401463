"""Can this folder be an agent's policy? Asked without importing torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.policy.folders.gguf import gguf_refused
from agentgym.policy.folders.hub_cache import shown

DTYPES = ("float32", "float16", "bfloat16")
"""What weights can be stored as, and computed in."""
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")


def check_folder(folder: Path) -> None:
    """Checks what can be seen from the files alone, in a moment.

    Raises:
        UsageError: The folder is no such model; the message says what is missing.
    """
    if not folder.exists():
        raise UsageError(f"policy folder {folder} does not exist")
    if not folder.is_dir():
        if folder.suffix == ".gguf":
            place = str(folder.absolute().parent)
            raise gguf_refused(f"{folder} is a GGUF file", place, folder.name)
        raise UsageError(f"policy {folder} is a file; give the model's folder")
    weights = any(next(folder.glob(pattern), None) for pattern in _WEIGHTS)
    gguf = next(folder.glob("*.gguf"), None)
    if gguf is not None and not weights:
        place = str(folder.absolute())
        raise gguf_refused(f"{folder} has only GGUF files", place, gguf.name)
    if not (folder / "config.json").is_file():
        raise UsageError(f"{shown(folder)} is no model folder: it has no config.json")
    _read_json(folder / "config.json")
    if not weights:
        raise UsageError(
            f"{shown(folder)} has no weights: there is no *.safetensors in it"
        )
    template = folder / "chat_template.jinja"
    if template.is_file():
        check_template(folder, template.read_text(encoding="utf-8"))
    elif not (folder / "additional_chat_templates").exists():
        older = (folder / "chat_template.json", folder / "tokenizer_config.json")
        if not any("chat_template" in _read_json(f) for f in older if f.is_file()):
            check_template(folder, None)


def check_template(folder: Path, template: str | None) -> None:
    """Checks that a chat template is there and can present tools.

    Args:
        folder: Of the model, for error messages.
        template: Jinja; None if the model has none.

    Raises:
        UsageError: It is missing, or knows no tools.
    """
    if not template:
        raise UsageError(
            f"the model in {shown(folder)} has no chat template: "
            "use an instruction-tuned model that can call tools"
        )
    if "tools" not in template:
        raise UsageError(
            f"the chat template of the model in {shown(folder)} knows no tools: "
            "use a model that can call tools"
        )


def stored_dtype(folder: Path) -> str:
    """How a model's weights are stored, by its config; "float32" if it does not say."""
    config = _read_json(folder / "config.json")
    dtype = str(config.get("dtype") or config.get("torch_dtype"))
    return dtype if dtype in DTYPES else "float32"


def weights_digest(folder: Path) -> str:
    """SHA-256 over a model's weight files: their names and what is in them."""
    whole = hashlib.sha256()
    files = {*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")}
    for file in sorted(files):
        if not file.name.startswith("adapter_model"):
            with file.open("rb") as stream:
                part = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(f"{file.name} {part}\n".encode())
    return whole.hexdigest()


def _read_json(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {error}") from error
    return content if isinstance(content, dict) else {}
