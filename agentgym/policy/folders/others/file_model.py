"""What the pydantic models of all files have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from agentgym.errors import visible


def _one_line(text: str) -> str:
    if visible(text) != text or "\n" in text or "\t" in text:
        raise ValueError("it has characters that steer a terminal")
    return text


Line = Annotated[str, Field(max_length=4096), AfterValidator(_one_line)]
"""A text that is shown."""


class Said(BaseModel):
    """What a file says; of a type that is not expected, it says nothing we take."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


def refused(why: str) -> PydanticCustomError:
    """Refuses a whole file for a reason that is no damage.

    Args:
        why: Goes behind the file's name in the sentence.
    """
    # Braces of somebody else's are none of a format.
    return PydanticCustomError("refused", "{why}", {"why": why})
