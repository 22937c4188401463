"""What the clients of models were given, as it is seen where answers arrive.

Frameworks make other things of an answer that is none: an exception of their own, or an
empty text. Whose fault that is cannot be told from there.
"""

from __future__ import annotations

from agentgym.errors import InfraError


class AnswerWatch:
    """The latest answer of an episode's clients that no model call has taken yet."""

    __slots__ = ("_arrived", "_asked", "_fault", "_odd", "_seen")

    def __init__(self) -> None:
        # Whether this episode's clients are such that they can be seen to ask.
        self._seen = False
        self._asked = False
        self._forget()

    def _forget(self) -> None:
        self._arrived = False
        self._fault: BaseException | None = None
        self._odd: InfraError | None = None

    def asks(self) -> None:
        """A client asks."""
        self._seen = self._asked = True

    def arrives(
        self,
        fault: BaseException | None,
        odd: InfraError | None = None,
        *,
        alone: bool = True,
    ) -> None:
        """An answer is there.

        Args:
            fault: Why it is none.
            odd: Why a client may not be able to read it.
            alone: Whether it can only be the one call's that is in flight; a right
                answer then takes the place of a wrong one, as after a retry.
        """
        if fault is not None or odd is not None or alone:
            self._arrived, self._fault, self._odd = True, fault, odd

    def ends_well(self, *, alone: bool, says: bool) -> BaseException | None:
        """A framework made a message of the answer.

        Args:
            alone: Whether no other call is in flight.
            says: Whether the message has a text or a call.

        Returns:
            Why it is none all the same.
        """
        if alone:
            self._asked = False
        if not alone and says:
            # The answer that is none is another call's.
            return None
        fault = self._fault
        self._forget()
        return fault

    def ends_badly(self, *, alone: bool) -> tuple[BaseException | None, bool]:
        """A framework's call raised.

        Args:
            alone: Whether no other call is in flight.

        Returns:
            Why the answer was none, or hard to read; and whether it is known that what
            was raised is not of reading it: it was seen to be one, or nothing was asked
            yet, as where a framework cannot send what the model called before.
        """
        fault = self._fault or self._odd
        elsewhere = self._arrived and self._fault is None
        elsewhere = elsewhere or (self._seen and not self._asked)
        if alone:
            self._asked = False
        self._forget()
        return fault, elsewhere
