"""What a training keeps on disk, where there is no room for it."""

from __future__ import annotations

import contextlib
import resource

import pytest

torch = pytest.importorskip("torch")

from agentgym.training.loop.checkpoint import Checkpoint, State, no_room  # noqa: E402


@contextlib.contextmanager
def little_room():
    """Files may be of 4 kB. Not for a whole test: its output may be a longer file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_room_the_last_state_is_kept(tmp_path):
    checkpoint = Checkpoint(tmp_path / "training")
    checkpoint.save(State(), {"small": torch.zeros(8)})
    with pytest.raises(Exception, match="os error 27") as caught, little_room():
        checkpoint.save(State(version=1), {"large": torch.zeros(8000)})
    sentence = str(no_room(caught.value, tmp_path))
    assert sentence.startswith("there is no room for the files of the training in ")
    state, tensors = checkpoint.load()
    assert state.version == 0
    assert set(tensors) == {"small"}


def test_other_errors_are_not_about_room(tmp_path):
    assert no_room(OSError("the network is down"), tmp_path) is None
