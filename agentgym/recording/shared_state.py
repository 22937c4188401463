"""Finds agents that keep their state between episodes, by what users said.

Every user's message is a canary: an agent that is made anew for each episode cannot
know another episode's. If it asks its model with one, episodes are not independent and
no reliability can be computed from them.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable

REMEMBERED = 1000
MIN_LENGTH = 12
"""Shorter messages, such as "yes", are no proof."""


class UserMessages:
    """The latest messages of users in this process, and whose episodes' they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._episodes: dict[str, int] = {}
        self._repeats: dict[str, int] = {}

    def add(self, text: str, episode: int) -> None:
        """Notes a message.

        Args:
            text: What the user said.
            episode: Number of the episode within this process.
        """
        with self._lock:
            self._episodes[text] = episode
            if len(self._episodes) > REMEMBERED:
                oldest = next(iter(self._episodes))
                del self._episodes[oldest]
                self._repeats.pop(oldest, None)

    def is_anothers(self, text: str, episode: int) -> bool:
        """Whether a message was said, and by the user of another episode.

        Args:
            text: The message.
            episode: Number of the episode that asks.
        """
        return self._episodes.get(text, episode) != episode

    def repeated_more(self, text: str, times: int) -> bool:
        """Whether a message is repeated more often than in an episode before.

        Two episodes may say the same. What an agent remembers is then there more often
        than in an episode before; an agent that always repeats a message does so in
        each one.

        Args:
            text: A message of the episode itself.
            times: How often its first request has the message beyond what was said.
        """
        with self._lock:
            least = self._repeats.get(text, times)
            if text in self._episodes:
                self._repeats[text] = min(least, times)
        return times > least


_of_all_episodes = UserMessages()
_numbers = itertools.count()


class SharedStateCheck:
    """One episode's side of it.

    Args:
        messages: Those of all episodes; by default the process's.
    """

    def __init__(self, messages: UserMessages = _of_all_episodes) -> None:
        self._messages = messages
        self._episode = next(_numbers)
        self._own: Counter[str] = Counter()

    def said(self, text: object) -> None:
        """Notes what the episode's user said; only text of some length is a canary."""
        if isinstance(text, str) and len(text) >= MIN_LENGTH:
            self._own[text] += 1
            self._messages.add(text, self._episode)

    def foreign(self, heard: Iterable[str]) -> str | None:
        """The first message that the agent cannot know from this episode, or None.

        Args:
            heard: The users' messages in the episode's first model request.
        """
        for text, times in Counter(heard).items():
            if text not in self._own:
                if self._messages.is_anothers(text, self._episode):
                    return text
            elif self._messages.repeated_more(text, times - self._own[text]):
                return text
        return None
