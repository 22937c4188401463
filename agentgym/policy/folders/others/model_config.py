"""What a model's own JSON files may say, as pydantic models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    model_validator,
)

from agentgym.policy.folders.others.config_sizes import MOST_TOKENS
from agentgym.policy.folders.others.file_model import Line, Said
from agentgym.policy.folders.others.plain_json import quoted

MOST_TEMPLATE = 1_000_000
"""Characters of a chat template; the longest known have some ten thousand."""
TokenId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
TokenIds = TokenId | Annotated[list[TokenId], Field(max_length=1000)] | None


def _file_name(name: str) -> str:
    """A name of a file in the same folder."""
    if "/" in name or "\\" in name or name in (".", ".."):
        raise ValueError("it is a path, and not the name of a file in the same folder")
    return name


FileName = Annotated[Line, Field(max_length=255), AfterValidator(_file_name)]


Shard = Annotated[
    Line,
    Field(max_length=255),
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$"),
]
Template = Annotated[str, Field(max_length=MOST_TEMPLATE)]


# A merged model has a file of this name for each of them.
TemplateName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}$")
]


class ModelConfig(Said):
    """`config.json`: a model's architecture and its sizes."""

    model_type: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    ]
    vocab_size: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    max_position_embeddings: Annotated[int, Field(ge=0, lt=2**40)] | None = None
    bos_token_id: TokenIds = None
    eos_token_id: TokenIds = None
    pad_token_id: TokenIds = None
    transformers_weights: Shard | Literal["model.safetensors.index.json"] | None = None
    configuration_files: list[Literal["config.json"]] = Field(default_factory=list)
    """Others would be read in the place of the one that was checked."""


class GenerationConfig(Said):
    """`generation_config.json`: how a model is meant to be sampled."""

    bos_token_id: TokenIds = None
    eos_token_id: TokenIds = None
    pad_token_id: TokenIds = None


class TokenText(Said):
    """A special token that is more than its text."""

    content: Annotated[str, Field(max_length=1000)]


Token = Annotated[str, Field(max_length=1000)] | TokenText | None


class NamedTemplate(Said):
    """One of several chat templates."""

    name: TemplateName
    template: Template


Templates = Template | list[NamedTemplate] | dict[TemplateName, Template] | None


class TokenizerConfig(Said):
    """`tokenizer_config.json`: the special tokens, and sometimes the chat template."""

    tokenizer_class: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
        | None
    ) = None
    chat_template: Templates = None
    fast_tokenizer_files: list[FileName] = Field(default_factory=list)
    added_tokens_decoder: dict[
        Annotated[str, StringConstraints(pattern=r"^[0-9]{1,7}$")], TokenText
    ] = Field(default_factory=dict)
    bos_token: Token = None
    eos_token: Token = None
    pad_token: Token = None
    unk_token: Token = None

    @model_validator(mode="after")
    def _within_folder(self) -> TokenizerConfig:
        for key, value in (self.__pydantic_extra__ or {}).items():
            if key.endswith("_file") and isinstance(value, str):
                _check_path(key, value)
        return self


class TokensByName(Said):
    """`special_tokens_map.json`: the special tokens, as older models have them."""

    bos_token: Token = None
    eos_token: Token = None
    pad_token: Token = None
    unk_token: Token = None


class TemplateFile(Said):
    """`chat_template.json`: where some models of pictures have their template."""

    chat_template: Template


class WeightIndex(Said):
    """`model.safetensors.index.json`: which file holds which weight."""

    weight_map: Annotated[dict[str, Shard], Field(min_length=1)]


def _check_path(key: str, value: str) -> None:
    """Lets what many models have pass: where a file was when they were saved."""
    path = Path(value)
    if ".." in path.parts or (path.is_absolute() and path.exists()):
        raise ValueError(
            f"{quoted(key)} is {quoted(value)}, a file outside of the folder"
        )
