"""xdist's workers claim their work from the hub; xdist itself has none for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # xdist has no py.typed.
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]


class HubScheduling:
    """A scheduler of xdist that only waits for the end of the training.

    Args:
        over: Whether the training is over.
        woken: Called in xdist's main loop after `wake`.
    """

    def __init__(self, over: Callable[[], bool], woken: Callable[[], None]) -> None:
        self._over = over
        self._woken = woken
        self._nodes: list[WorkerController] = []
        self._collected: set[WorkerController] = set()

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers."""
        return list(self._nodes)

    @property
    def collection_is_completed(self) -> bool:
        """Whether each worker has collected."""
        return self._collected.issuperset(self._nodes)

    @property
    def tests_finished(self) -> bool:
        """Whether the workers may end."""
        return self._over()

    @property
    def has_pending(self) -> bool:
        """Whether there is work for a worker: never from here."""
        return False

    def add_node(self, node: WorkerController) -> None:
        """A worker has started."""
        self._nodes.append(node)

    def add_node_collection(
        self, node: WorkerController, collection: Sequence[str]
    ) -> None:
        """A worker has collected.

        Args:
            node: The worker.
            collection: Node ids, which are not looked at.
        """
        self._collected.add(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended, or died: what it played is no test of xdist's.

        Raises:
            KeyError: It never started.
        """
        if node not in self._nodes:
            raise KeyError(node)
        self._nodes.remove(node)
        self._collected.discard(node)
        return None

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """Never happens: xdist runs no test.

        Args:
            node: A worker.
            item_index: Of a test.
            duration: In seconds.
        """

    def mark_test_pending(self, item: str) -> None:
        """Never happens."""

    def remove_pending_tests_from_node(
        self, node: WorkerController, indices: Sequence[int]
    ) -> None:
        """The event of `wake` ends here.

        Args:
            node: None.
            indices: None at all.
        """
        self._woken()

    def schedule(self) -> None:
        """Nothing to do: workers find the hub by themselves."""


def wake(session: object) -> None:
    """Lets xdist's main loop look whether the tests are finished.

    Args:
        session: Its `DSession`, which looks only after an event.
    """
    event: tuple[str, dict[str, object]]
    event = ("unscheduled", {"node": None, "indices": []})
    session.queue.put(event)  # type: ignore[attr-defined]
