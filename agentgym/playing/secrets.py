"""Masks keys and passwords in what is kept of episodes."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from agentgym.endpoint import MASK, without_secrets
from agentgym.errors import UsageError

_AT_LEAST = 8
"""Characters of an environment variable's value that is taken for a secret."""
_SURE = 20
"""Characters from which it needs no digit: a shorter word may be any word."""
_NAMES = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)"
    r"(?:$|_)",
    re.IGNORECASE,
)
"""Variables of the environment whose values are secrets."""

# Which texts a kind may be in, its form, and what takes its place. Few texts
# have one of them by chance: so most episodes get a quick look only.
_KINDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    # OpenAI, Anthropic, DeepSeek, OpenRouter, Langfuse
    (("sk-", "pk-lf-"), r"\b(?:sk|pk-lf)-(?=[\w-]*\d)[\w-]{16,}", MASK),
    (("KIA", "SIA"), r"\bA(?:KIA|SIA)[A-Z0-9]{16}\b", MASK),  # AWS
    (("Iza",), r"\bAIza[\w-]{30,}", MASK),  # Google
    (("ya29.",), r"\bya29\.[\w-]{20,}", MASK),
    (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[pousr]|github_pat)_\w{20,}",
        MASK,
    ),
    (("glpat-",), r"\bglpat-[\w-]{20,}", MASK),  # GitLab
    (("xox", "xapp-"), r"\bx(?:ox[abeoprs]|app)-[\w-]{10,}", MASK),  # Slack
    (("f_",), r"\bhf_[A-Za-z0-9]{20,}", MASK),  # Hugging Face
    (("v2_",), r"\blsv2_[a-z]{2}_\w{20,}", MASK),  # LangSmith
    # Groq, xAI, Replicate
    (("gsk_", "xai-", "r8_"), r"\b(?:gsk_|xai-|r8_)\w{20,}", MASK),
    (("k_live_", "k_test_"), r"\b[prs]k_(?:live|test)_\w{10,}", MASK),  # Stripe
    (("SG.",), r"\bSG\.[\w-]{16,}\.[\w-]{16,}", MASK),  # SendGrid
    (("npm_",), r"\bnpm_\w{30,}", MASK),
    (("ypi-",), r"\bpypi-[\w-]{50,}", MASK),
    (("yJ",), r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", MASK),  # JSON Web Tokens
    (
        ("PRIVATE KEY-----",),
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        MASK,
    ),
    (
        ("Bearer ", "bearer ", "BEARER "),
        r"\b([Bb]earer\s+|BEARER\s+)(?=[\w.~+/-]*\d)[\w.~+/-]{12,}=*",
        rf"\1{MASK}",
    ),
    (
        ("Basic ", "basic ", "BASIC "),
        r"(?i)\b(authorization\W{1,5}basic\s+)[\w+/]{8,}=*",
        rf"\1{MASK}",
    ),
)
_COMPILED = tuple(
    (hints, re.compile(form, re.DOTALL), mask) for hints, form, mask in _KINDS
)
KEY = re.compile(
    "|".join(f"(?:{form})" for _, form, mask in _KINDS if mask == MASK), re.DOTALL
)
"""A key of any of these forms that is a secret as a whole."""
_HINTS = ("//", *(hint for hints, _, _ in _KINDS for hint in hints))
# Grouped by their first letters, which takes half as long as one alternation of all.
_HINT = re.compile(
    "|".join(
        f"{re.escape(first)}(?:{'|'.join(re.escape(hint[1:]) for hint in group)})"
        for first, group in itertools.groupby(sorted(_HINTS), lambda hint: hint[0])
    )
)
_NOT_MASKED = frozenset({"format", "id", "scenario", "outcome", "phase"})
"""Fields of an episode by which it is found."""


class Secrets:
    """Finds secrets in text, and masks them.

    They are keys of the usual forms, passwords and keys within addresses, values of the
    environment whose names say that they are secret, and what the user's own patterns
    match.

    Args:
        environment: Variables; None: what their names say is not looked for.
        patterns: Regular expressions of the user's.

    Raises:
        UsageError: A pattern is none.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        patterns: Collection[str] = (),
    ) -> None:
        # The longest first: one may be a part of another.
        self._values = sorted(_secret(environment or {}), key=len, reverse=True)
        self._patterns = [_compiled(pattern) for pattern in patterns]
        self._in_json = [json.dumps(value)[1:-1] for value in self._values]

    def text(self, text: str) -> str:
        """The text with its secrets masked."""
        for value in self._values:
            text = text.replace(value, MASK)
        for hints, form, mask in _COMPILED:
            if any(hint in text for hint in hints):
                text = form.sub(mask, text)
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return without_secrets(text)

    def value(self, value: Any) -> Any:
        """The same with all texts in it masked.

        Args:
            value: What JSON can hold.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(each) for key, each in value.items()}
        return value

    def may_be_in(self, line: str) -> bool:
        """Whether a line of JSON is worth a closer look, which takes far longer."""
        return (
            bool(self._patterns)
            or _HINT.search(line) is not None
            or any(value in line for value in self._in_json)
        )

    def episode(self, data: dict[str, Any]) -> dict[str, Any]:
        """The JSON form of an episode with its secrets masked."""
        return {
            key: each if key in _NOT_MASKED else self.value(each)
            for key, each in data.items()
        }


def secret_names(environment: Mapping[str, str]) -> list[str]:
    """The variables whose names say that they are secret, and whose values may be."""
    return [
        name
        for name, value in environment.items()
        if _NAMES.search(name)
        and len(value) >= _AT_LEAST
        and (len(value) >= _SURE or any(sign.isdigit() for sign in value))
        and not value.isdecimal()
    ]


def _secret(environment: Mapping[str, str]) -> set[str]:
    return {environment[name] for name in secret_names(environment)}


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise UsageError(
            f"pytest_agentgym_secret_patterns: {pattern!r} is no regular expression: "
            f"{error}"
        ) from None
