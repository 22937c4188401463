"""What `adapter_config.json` may say, as a pydantic model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from agentgym.policy.folders.others.file_model import Said, refused
from agentgym.policy.folders.others.plain_json import quoted

_MOST_RANK = 65_536
_MOST_ALPHA = 1e6
# With one of these, a module's weight is more, or other, than W + scale * B @ A.
_UNKNOWN = (
    *("alora_invocation_tokens", "alpha_pattern", "arrow_config", "kasa_config"),
    *("layer_replication", "lora_bias", "megatron_config", "modules_to_save"),
    *("monteclora_config", "rank_pattern", "target_parameters"),
    *("trainable_token_indices", "use_bdlora", "use_dora", "use_qalora"),
    "velora_config",
)
# These change the base weights before the first update.
_MOVES_BASE = ("corda", "loftq", "lora_ga", "olora", "pissa")


class AdapterConfig(Said):
    """The config of a LoRA adapter, as far as it is used."""

    r: Annotated[int, Field(ge=1, le=_MOST_RANK)]
    lora_alpha: Annotated[float, Field(ge=-_MOST_ALPHA, le=_MOST_ALPHA)]
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    use_rslora: bool | None = False

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, said: Any) -> Any:
        """Refuses what is no plain LoRA adapter before anything is missed in it."""
        kind = said.get("peft_type")
        if kind != "LORA":
            raise refused(f"describes no LoRA adapter: its peft_type is {quoted(kind)}")
        for name in _UNKNOWN:
            if said.get(name):
                raise _not_merged(name, said[name])
        if said.get("bias", "none") != "none":
            raise _not_merged("bias", said["bias"])
        start = said.get("init_lora_weights")
        if isinstance(start, str) and start.lower().startswith(_MOVES_BASE):
            raise _not_merged("init_lora_weights", start)
        return said


def _not_merged(name: str, value: Any) -> PydanticCustomError:
    return refused(
        f"has {name} = {quoted(value)}, which agentgym does not merge: "
        "use a plain LoRA adapter"
    )
