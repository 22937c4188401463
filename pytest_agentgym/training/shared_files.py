"""What the processes of a training share through the run's shared folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from agentgym.runs.files.store import write_json
from pytest_agentgym.play.shared_folder import STOP_FILE

_HUB, _CATALOGUE, _FAILED, _OVER, _DRAIN = (
    "hub.json",
    "catalogue.json",
    "failed.json",
    "training-over",
    "draining",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a runner ended the training.

    Attributes:
        kind: A mistake of the user ("usage"), a scenario that could not be set up
            ("setup") or torn down ("teardown"), `pytest.exit()`, errors of the
            collection, or a fault of ours ("internal").
        text: What to say.
        report: The serialized report of the scenario, for "setup" and "teardown".
    """

    kind: Literal["usage", "setup", "teardown", "exit", "collection", "internal"]
    text: str
    report: dict[str, Any] | None = None


class SharedFiles:
    """The files; each one is written once and whole.

    Args:
        folder: The folder that all processes of the run share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_hub(self, url: str, key: str, in_flight: int) -> None:
        """Main process: where runners find the hub.

        Args:
            url: Its address.
            key: What its requests are authorized by.
            in_flight: Episodes that a runner may have in flight by default.
        """
        hub = {"url": url, "key": key, "in_flight": in_flight}
        write_json(self.folder / _HUB, hub)

    def hub(self) -> dict[str, Any] | None:
        """What `write_hub` was told, once the hub is up."""
        hub: dict[str, Any] | None = _read(self.folder / _HUB)
        return hub

    def write_catalogue(self, entries: list[dict[str, Any]]) -> None:
        """Runner: what it collected. All runners collect the same; one file is kept."""
        path = self.folder / _CATALOGUE
        if not path.exists():
            write_json(path, {"entries": entries})

    def catalogue(self) -> list[dict[str, Any]] | None:
        """What was collected, once a runner has."""
        catalogue = _read(self.folder / _CATALOGUE)
        return None if catalogue is None else catalogue["entries"]

    def write_failure(self, failure: Failure) -> None:
        """Runner: ends the training; the first failure is kept."""
        path = self.folder / _FAILED
        if not path.exists():
            write_json(path, asdict(failure))

    def failure(self) -> Failure | None:
        """Why a runner ended the training, if one did."""
        failure = _read(self.folder / _FAILED)
        return None if failure is None else Failure(**failure)

    def end(self) -> None:
        """Main process: the training is over."""
        (self.folder / _OVER).touch()

    @property
    def over(self) -> bool:
        """Whether runners have nothing to do any more."""
        return (self.folder / _OVER).exists() or (self.folder / _FAILED).exists()

    def drain(self) -> None:
        """Main process: what is in flight is played to its end, and nothing else."""
        (self.folder / _DRAIN).touch()

    @property
    def draining(self) -> bool:
        """Whether nothing more is to be claimed."""
        return (self.folder / _DRAIN).exists()

    def stop(self) -> None:
        """Main process: the run was interrupted."""
        (self.folder / STOP_FILE).touch()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
