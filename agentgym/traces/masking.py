"""Takes personal data out of conversations, the same wherever it stands."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from agentgym.errors import UsageError
from agentgym.playing.secrets import KEY

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_IP = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-f:]+\b"
)
_PHONE = re.compile(
    r"(?<![\w.])(?<!\d )(?:\+|00)\d{1,3}(?:[ ()/-]{0,2}\d){6,12}\b"
    r"|(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}\b(?!-)"
)


def _luhn(text: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(sign) for sign in text if sign.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """The check digits of an IBAN (ISO 13616, by ISO/IEC 7064 MOD 97-10)."""
    signs = text.replace(" ", "")
    turned = signs[4:] + signs[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool], str], ...] = (
    ("keys", KEY, bool, "masked-key-{}"),
    ("e-mail addresses", _EMAIL, bool, "person{}@example.com"),
    ("IBANs", _IBAN, _iban, "masked-iban-{}"),
    ("card numbers", _CARD, _luhn, "masked-card-{}"),
    ("IP addresses", _IP, _address, "192.0.2.{}"),
    ("phone numbers", _PHONE, bool, "+1 555 01{:02}"),
)


class Mask:
    """Replaces personal data by stand-ins.

    A value has the same stand-in in the whole conversation, in messages, arguments and
    results alike: an argument that was copied from the user's message still is.

    Args:
        patterns: Regular expressions of the user's for more of it.

    Attributes:
        found: How many values of each kind were replaced.

    Raises:
        UsageError: A pattern is none.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.found: Counter[str] = Counter()
        self._kinds = list(_KINDS)
        for text in patterns:
            try:
                pattern = re.compile(text)
            except re.error as error:
                raise UsageError(
                    f"--mask {text}: this is no pattern: {error}"
                ) from None
            own = (text, pattern, bool, "masked-{}")
            self._kinds.insert(0, own)

    def conversation(self, value: Any) -> Any:
        """The same with stand-ins.

        Args:
            value: What JSON can hold.
        """
        return self._masked(value, {})

    def _masked(self, value: Any, known: dict[tuple[str, str], str]) -> Any:
        if isinstance(value, str):
            return self._text(value, known)
        if isinstance(value, list):
            return [self._masked(each, known) for each in value]
        if isinstance(value, dict):
            return {key: self._masked(each, known) for key, each in value.items()}
        return value

    def _text(self, text: str, known: dict[tuple[str, str], str]) -> str:
        for kind, pattern, holds, stand_in in self._kinds:

            def replace(
                match: re.Match[str],
                kind: str = kind,
                holds: Callable[[str], bool] = holds,
                stand_in: str = stand_in,
            ) -> str:
                found = match[0]
                if not found or not holds(found):
                    return found
                if (kind, found) not in known:
                    number = sum(of == kind for of, _ in known) + 1
                    known[kind, found] = stand_in.format(number)
                    self.found[kind] += 1
                return known[kind, found]

            text = pattern.sub(replace, text)
        return text
