"""Finds agents that keep their state between episodes, by what their models are asked.

An agent is accused on proof only. That a request has what another episode's user said
is none: examples in a prompt, a normalised question or a repeated one look the same.
These are proof:

- Memory grows. The users' messages of one episode's first request begin with all those
  of another's, and these with all those of a third one; and what came in between was
  said by other users. Examples may differ from case to case, but not like that.
- Memory never shrinks. Where all users say the same, an agent may repeat a question,
  now more often, now less. So many episodes must have had more and more of it, and none
  of them less than one that was over when it began.
- A message whose id a framework made up (a UUID) for another episode.
- One conversation store and thread that two episodes write to.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from agentgym.errors import UsageError
from agentgym.recording.plain import shorten

REMEMBERED = 1000
GROWN = 2
"""So many times what an agent was told must have grown: by other episodes' messages."""
GROWN_ALIKE = 6
"""The same where all users say the same, as an agent may repeat a question."""

K = TypeVar("K")
V = TypeVar("V")


class Repeats:
    """How often episodes had the same messages, since one had no more than before."""

    def __init__(self) -> None:
        self._over: dict[int, int] = {}
        self._at_once: list[int] = []
        self._later: set[int] = set()

    def grown(self, times: int, begun: int) -> int:
        """How many times what episodes had has grown, and it did nothing else.

        Args:
            times: How many of the messages an episode has.
            begun: When it began.
        """
        over = max((n for n, at in self._over.items() if at < begun), default=0)
        if times <= over:
            # An episode that was over had as many: what does not grow is no memory.
            self._over, self._at_once, self._later = {}, [], set()
        if 0 < over < times:
            self._later.add(times)
        else:
            self._at_once.append(times)
        sizes = self._later.copy()
        # Where a memory grows, episodes that begin at once have 1, 2, 3 ... of them;
        # one that has not asked yet leaves a gap.
        first = self._at_once
        if first and len({*first}) == len(first) > max(first) - min(first) - 1:
            sizes.update(first)
        # And later ones a message or two more.
        dense = sizes and max(sizes) - min(sizes) < 2 * len(sizes)
        return len(sizes) - 1 if dense else 0

    def over(self, times: int, at: int) -> None:
        """Notes that an episode is over.

        Args:
            times: How many of the messages it had.
            at: When it ended.
        """
        self._over.setdefault(times, at)


class AllEpisodes:
    """What the latest episodes of this process said, and were told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speakers: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        self._growth: dict[int, int] = {}
        self._repeats: dict[int, Repeats] = {}
        self._threads: dict[
            tuple[int, str], tuple[weakref.ref[Any], SharedStateCheck]
        ] = {}

    def said(self, text: str, episode: int) -> None:
        """Notes what a user says.

        Args:
            text: A message.
            episode: Number of the episode within this process.
        """
        with self._lock:
            _keep(self._speakers, text, episode)

    def is_anothers(self, text: str, episode: int) -> bool:
        """Whether the user of another episode said it, the latest who did.

        Args:
            text: The message.
            episode: Number of the episode that asks.
        """
        return self._speakers.get(text, episode) != episode

    def grown(self, told: Sequence[str], *, more: bool) -> int:
        """How many times a conversation grew, from one episode to the next, to this.

        Args:
            told: The users' messages of an episode's first request.
            more: Whether there are some that its own user did not say.
        """
        seen: list[int] = []
        before = 0
        for text in told:
            before = hash((before, text))
            seen.append(before)
        if not seen:
            return 0
        with self._lock:
            times = 0
            if more:
                growth = self._growth
                times = max(
                    (growth[h] + 1 for h in seen[:-1] if h in growth), default=0
                )
            _keep(self._growth, seen[-1], max(times, self._growth.get(seen[-1], 0)))
        return times

    def repeated(self, told: Sequence[str], begun: int) -> int:
        """How many times it has grown how often episodes had the same messages.

        Args:
            told: The users' messages of an episode's first request.
            begun: Number of the episode.
        """
        key = hash(frozenset(told))
        with self._lock:
            repeats = self._repeats.get(key) or Repeats()
            _keep(self._repeats, key, repeats)
            return repeats.grown(len(told), begun)

    def over(self, told: Sequence[str], at: int) -> None:
        """Notes that an episode is over.

        Args:
            told: The users' messages of its first request.
            at: Number that an episode would have that begins now.
        """
        with self._lock:
            repeats = self._repeats.get(hash(frozenset(told)))
            if repeats is not None:
                repeats.over(len(told), at)

    def claim_id(self, name: str, episode: int) -> bool:
        """Notes whose message has this id; returns whether it is another's already.

        Args:
            name: The id.
            episode: Number of the episode.
        """
        with self._lock:
            owner = self._ids.get(name, episode)
            _keep(self._ids, name, owner)
        return owner != episode

    def has_id(self, name: str, episode: int) -> bool:
        """Whether it is the id of a message that another episode's user said.

        Args:
            name: The id.
            episode: Number of the episode that asks.
        """
        return self._ids.get(name, episode) != episode

    def claim_thread(
        self, store: Any, thread: str, episode: SharedStateCheck
    ) -> SharedStateCheck:
        """Notes who writes to a thread; returns who did before.

        Args:
            store: What keeps conversations.
            thread: Name of one of them.
            episode: The one that goes on with it.
        """
        with self._lock:
            key = (id(store), thread)
            known = self._threads.get(key)
            _keep(self._threads, key, (weakref.ref(store), episode))
            # An id may be that of an object that is gone.
            return known[1] if known is not None and known[0]() is store else episode


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    """Puts it in as the latest, and the oldest out if there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > REMEMBERED:
        del kept[next(iter(kept))]


def keeps_state(proof: str) -> UsageError:
    """What the user is told of an agent that keeps its state.

    Args:
        proof: What was seen of this episode.
    """
    return UsageError(
        f"the agent keeps its state between episodes: this episode's {proof}; make "
        "the agent anew in the `agent` fixture, with its own memory "
        "(--agentgym-state-check off: play on all the same)"
    )


_of_all_episodes = AllEpisodes()
_numbers = itertools.count()


class SharedStateCheck:
    """One episode's side of it.

    Args:
        on: Whether to look for proof at all.
        episodes: What is known of all; by default the process's.
    """

    def __init__(
        self, on: bool = True, episodes: AllEpisodes = _of_all_episodes
    ) -> None:
        self.on = on
        self._episodes = episodes
        self._episode = next(_numbers)
        self._own: Counter[str] = Counter()
        self._told: list[str] = []
        self._over = False

    def end(self) -> None:
        """The episode is over: what it wrote may be deleted from now on."""
        self._over = True
        if self._told:
            self._episodes.over(self._told, next(_numbers))

    def said(self, text: object) -> None:
        """Notes what the episode's user said."""
        if self.on and isinstance(text, str):
            self._own[text] += 1
            self._episodes.said(text, self._episode)

    def foreign(self, heard: Iterable[str]) -> UsageError | None:
        """The mistake, if the agent can know a message only from another episode.

        Args:
            heard: The users' messages in the episode's first model request.
        """
        if not self.on:
            return None
        told = self._told = list(heard)
        more = Counter(told) - self._own
        times = self._episodes.grown(told, more=bool(more))
        # One message again and again may be a question that is repeated.
        if times >= GROWN and len(set(told)) > 1:
            for text in more:
                if text not in self._own and self._is_anothers(text):
                    return _has_anothers(text)
        if told and self._episodes.repeated(told, self._episode) >= GROWN_ALIKE:
            for text in more:
                if text in self._own or self._is_anothers(text):
                    return _has_anothers(text)
        return None

    def foreign_id(self, heard: Sequence[tuple[str | None, str]]) -> UsageError | None:
        """The mistake, if the id of a message was made for another episode.

        Args:
            heard: Id and text of each user's message in a request.
        """
        if not heard or not self.on:
            return None
        more = Counter(text for _, text in heard) - self._own
        for name, text in heard:
            if name and text in more and self._episodes.has_id(name, self._episode):
                return _has_anothers(text)
        name, text = heard[-1]
        if name and text in self._own:
            self._episodes.claim_id(name, self._episode)
        return None

    def use_thread(
        self, store: Any, thread: str, is_empty: Callable[[], bool]
    ) -> UsageError | None:
        """The mistake, if another episode writes to the same conversation.

        Args:
            store: What keeps conversations, such as LangGraph's checkpointer.
            thread: Name of the one that this episode goes on with.
            is_empty: Asked if an episode that is over wrote to it: whether it was
                emptied since.
        """
        if not self.on:
            return None
        other = self._episodes.claim_thread(store, thread, self)
        if other is self or (other._over and is_empty()):
            return None
        name = f"thread_id {shorten(thread, 60)!r}"
        return keeps_state(f"conversation ({name}) is another one's, too")

    def _is_anothers(self, text: str) -> bool:
        return self._episodes.is_anothers(text, self._episode)


def _has_anothers(text: str) -> UsageError:
    return keeps_state(f"model call has another one's message ({shorten(text, 60)})")
