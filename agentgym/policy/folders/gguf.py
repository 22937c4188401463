"""What to do with a GGUF file, which is not what a policy is loaded from."""

from __future__ import annotations

import re

from agentgym.errors import UsageError

_HARMLESS = re.compile(r"[\w./@: -]+")


def gguf_refused(what: str, place: str, file: str) -> UsageError:
    """Says that a model is there as GGUF only, and how transformers converts it.

    Args:
        what: How the sentence begins: what is, or has only, a GGUF file.
        place: The folder, or the hub's name, that transformers finds the file in.
        file: The file's name.
    """
    if not all(map(_HARMLESS.fullmatch, (place, file))):
        # The name is somebody else's, and would be a part of a program.
        return UsageError(
            f"{what}, and a policy is loaded from safetensors: name the model that it "
            "was made from, or give folder and file a plain name first"
        )
    # transformers refuses to save what it read from GGUF, unless it forgets that; and
    # its config would have vLLM look for quantized weights.
    lines = (
        "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
        f'source = dict(pretrained_model_name_or_path="{place}", gguf_file="{file}"); '
        "model = M.from_pretrained(**source); model.hf_quantizer = None; "
        'vars(model.config).pop("quantization_config", None); '
        'model.save_pretrained("converted"); '
        'T.from_pretrained(**source).save_pretrained("converted")'
    )
    return UsageError(
        f"{what}, and a policy is loaded from safetensors: name the model that it was "
        "made from, or convert it to a folder (after pip install gguf): "
        f"python -c '{lines}'"
    )
