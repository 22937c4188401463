"""The components of a message: one definition, and what cannot be trained."""

from __future__ import annotations

import pytest

from agentgym import UsageError, scenario
from agentgym.scenarios.components import (
    COMPONENTS,
    TOOL_EXECUTION,
    TRAINABLE_COMPONENTS,
    why_untrainable,
)
from agentgym.scenarios.scenario import Scenario


def test_a_scenario_says_of_each_component_and_of_tool_execution():
    assert set(TRAINABLE_COMPONENTS) == {*COMPONENTS, TOOL_EXECUTION}
    assert Scenario().define_trainable_components() == TRAINABLE_COMPONENTS
    assert not TRAINABLE_COMPONENTS[TOOL_EXECUTION]


def test_each_component_has_tokens():
    segments = pytest.importorskip("agentgym.training.batch.segments")
    assert sorted(segments._COMPONENTS) == sorted(COMPONENTS)
    from agentgym.policy.chat.dialect import Dialect
    from agentgym.policy.chat.formats.known import FORMATS
    from agentgym.policy.chat.message_shape import MessageShape
    from agentgym.policy.chat.thoughts import find_thoughts

    dialect = Dialect(
        tokenizer=None,
        calls=FORMATS[0],
        channels=find_thoughts("<think></think>"),
        shape=MessageShape(),
        template="",
    )
    call = b'Hm. <tool_call>\n{"name": "a", "arguments": {"b": 1}}\n</tool_call>'
    pieces = [bytes((byte,)) for byte in b"<think>Well.</think>" + call]
    found = segments.segment(pieces, dialect, ended=False)
    assert set(found) == set(COMPONENTS)


def test_the_config_knows_the_same_ones():
    config = pytest.importorskip("agentgym.training.job.config")
    made = config.TrainingConfig(components=COMPONENTS)
    assert made.components == frozenset(COMPONENTS)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({TOOL_EXECUTION}, "tool_execution is what happens within the tool: the model"),
        ({TOOL_EXECUTION, "tool_selection"}, "tool_execution is what happens within"),
        (set(), "name what is trained, one or more of tool_selection, parameter_sel"),
        ({"tools"}, "name what is trained, one or more of tool_selection, "),
    ],
)
def test_what_cannot_be_trained(wanted, sentence):
    assert why_untrainable(wanted).startswith(sentence)
    config = pytest.importorskip("agentgym.training.job.config")
    with pytest.raises(ValueError, match=sentence):
        config.TrainingConfig(components=wanted)


def test_what_can_be_trained():
    assert why_untrainable(COMPONENTS) is None
    scenario(trainable_components={TOOL_EXECUTION: False})


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        (
            {TOOL_EXECUTION: True},
            "trainable_components={'tool_execution': True}: tool_execution is what",
        ),
        ({"tools": True}, "trainable_components={'tools': True}: give True or False"),
        ({"tool_selection": 1}, "trainable_components={'tool_selection': 1}: give"),
        (["tool_selection"], r"trainable_components=\['tool_selection'\]: give True"),
    ],
)
def test_what_a_scenario_cannot_say(mapping, sentence):
    with pytest.raises(UsageError, match=sentence):
        scenario(trainable_components=mapping)(test_what_can_be_trained)
