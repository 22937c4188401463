"""The mailbox: messages, contacts and drafts, with tools and real errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .errors import OfficeError
from .values import Values

ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]+")


@dataclass(frozen=True)
class Contact:
    """Somebody in the address book.

    Attributes:
        zone: The time zone where they live.
    """

    first: str
    last: str
    zone: str

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"

    @property
    def email(self) -> str:
        """The address."""
        return f"{self.first}@{self.last}.example".lower()

    @property
    def city(self) -> str:
        """Where they live."""
        return self.zone.rpartition("/")[2]


@dataclass(frozen=True)
class Message:
    """A message that came in."""

    id: str
    sender: Contact
    subject: str
    text: str
    price: str


@dataclass
class Draft:
    """A message to somebody, sent or not."""

    id: str
    to: str
    text: str
    sent: bool = False


@dataclass(repr=False)
class Mailbox:
    """Messages, contacts and drafts.

    Attributes:
        changes: Names of the tools that changed something, in order.
        sent: What was sent in this episode.
        found: Names of those whose address was looked up.
        listed: Ids of messages that a search has shown.
        next_draft: Id of the draft that is written next.
    """

    values: Values
    changes: list[str]
    contacts: list[Contact] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    sent: list[Draft] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    forwarded: list[str] = field(default_factory=list)
    next_draft: str = ""

    def __post_init__(self) -> None:
        self.next_draft = self.values.number("D")

    @property
    def drafted_to(self) -> list[str]:
        """Addresses of the drafts that are not sent."""
        return [draft.to for draft in self.drafts.values() if not draft.sent]

    @property
    def sent_to(self) -> list[str]:
        """Addresses of what was sent."""
        return [draft.to for draft in self.sent]

    def says(self, *facts: str) -> bool:
        """Whether the last draft states all of these numbers or times."""
        last = list(self.drafts.values())[-1:]
        return bool(last) and all(
            re.search(rf"(?<![\d.:-]){re.escape(fact)}(?![\d:-]|\.\d)", last[0].text)
            for fact in facts
        )

    def search_messages(self, word: str) -> dict[str, Any]:
        """Find messages with a word."""
        wanted = set(_words(word))
        found = [
            message
            for message in self.messages.values()
            if wanted.intersection(
                _words(f"{message.sender.name} {message.subject} {message.text}")
            )
        ]
        if not found:
            raise OfficeError(f"no message with {word}")
        self.listed.update(message.id for message in found)
        return {
            "messages": [
                {"id": m.id, "from": m.sender.first, "subject": m.subject}
                for m in found
            ]
        }

    def read_message(self, message_id: str) -> dict[str, Any]:
        """Show a message."""
        if message_id not in self.messages:
            raise OfficeError(f"no message {message_id}")
        message = self.messages[message_id]
        return {"from": message.sender.email, "text": message.text}

    def find_contact(self, name: str) -> dict[str, Any]:
        """Find the address and time zone of a person."""
        wanted = " ".join(name.casefold().split())
        found = [
            contact
            for contact in self.contacts
            if wanted in (each.casefold() for each in _names(contact))
        ]
        if not found:
            raise OfficeError(f"no contact {name}")
        if len(found) > 1:
            listed = ", ".join(f"{each.zone}: {each.name}" for each in found)
            raise OfficeError(f"{len(found)} contacts are called {name}: {listed}")
        self.found.append(found[0].name)
        return {"email": found[0].email, "zone": found[0].zone}

    def draft_message(self, to: str, text: str) -> dict[str, Any]:
        """Write a draft to an address."""
        _check_address(to)
        if not text.strip():
            raise OfficeError("the text is empty")
        draft = Draft(self.next_draft, to, text)
        self.next_draft = self.values.number("D")
        self.drafts[draft.id] = draft
        self.changes.append("draft_message")
        return {"draft": draft.id}

    def send_message(self, draft_id: str) -> dict[str, Any]:
        """Send a draft."""
        if draft_id not in self.drafts:
            raise OfficeError(f"no draft {draft_id}")
        draft = self.drafts[draft_id]
        if draft.sent:
            raise OfficeError(f"{draft_id} was sent already")
        draft.sent = True
        self.sent.append(draft)
        self.changes.append("send_message")
        return {"sent": draft_id}

    def delete_all(self) -> dict[str, Any]:
        """Delete all messages."""
        deleted = len(self.messages)
        self.messages.clear()
        self.changes.append("delete_all")
        return {"deleted": deleted}

    def forward_all(self, to: str) -> dict[str, Any]:
        """Forward all messages to an address."""
        _check_address(to)
        self.forwarded.append(to)
        self.changes.append("forward_all")
        return {"forwarded": len(self.messages)}


def _words(text: str) -> list[str]:
    return re.findall(r"[\w.]*\w", text.casefold())


def _names(contact: Contact) -> tuple[str, str, str]:
    return contact.first, contact.last, contact.name


def _check_address(to: str) -> None:
    if not ADDRESS.fullmatch(to):
        raise OfficeError(f"{to} is no address: find the contact first")
