"""What is taken for a secret, and what is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.playing.secrets import Secrets

PLAIN = [
    "",
    "a risk-assessment-framework-of-2024 and a task-oriented-dialogue",
    "sk-learn-is-a-library-without-digits-in-its-name",
    "the bearer of this letter; Bearer tokens are basic authentication/authorization",
    "https://shop.example/orders?page=2&sort=3",
    "mail me@shop.example at 10:30",
    "eyJust a word",
    "AKIArt and ASIAn, AIzawa, SG.1, hf_model, npm_config, pypi-server",
    "order 4581, EUR 1.299,00",
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text):
    assert Secrets({"PATH": "/usr/bin", "HOME": "/root"}).text(text) == text


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        ("OPENAI_API_KEY", "abcdefg1", True),
        ("openai_apikey", "abcdefg1", True),
        ("DB_PASSWORD", "abcdefg1", True),
        ("GITHUB_TOKEN", "abcdefghijklmnopqrst", True),
        ("AWS_SECRET_ACCESS_KEY", "abcdefg1", True),
        # Too short, a word, a number: they would be masked in any text.
        ("OPENAI_API_KEY", "none1", False),
        ("OPENAI_API_KEY", "scripted", False),
        ("MAX_TOKEN", "10000000", False),
        # Other names.
        ("TOKENIZERS_PARALLELISM", "abcdefg1", False),
        ("KEYBOARD", "abcdefg1", False),
        ("PWD", "/home/me1", False),
    ],
)
def test_values_of_the_environment(name, value, masked):
    secrets = Secrets({name: value})
    assert (secrets.text(f"it is {value}!") == "it is ***!") is masked
    assert secrets.may_be_in(f"it is {value}!") is masked


def test_one_secret_within_another():
    secrets = Secrets({"A_KEY": "abcdefg1", "B_KEY": "abcdefg1-and-more"})
    assert secrets.text("abcdefg1-and-more abcdefg1") == "*** ***"


def test_what_surrounds_a_secret_stays():
    text = (
        "curl -H 'Authorization: Bearer abc123def456ghi789' http://u:p@h.example/a?b=c"
    )
    assert Secrets().text(text) == (
        "curl -H 'Authorization: Bearer ***' http://***@h.example/a?b=c"
    )


def test_an_episode_is_found_by_its_names():
    key = "sk-abcdefghijklmnop1"
    data = {"id": key, "scenario": key, "case": {key: [key, 1, None]}, "error": key}
    assert Secrets().episode(data) == {
        "id": key,
        "scenario": key,
        "case": {"***": ["***", 1, None]},
        "error": "***",
    }


texts = st.text(max_size=60) | st.sampled_from(
    ["sk-abcdefghijklmnop1", 'say "Bearer abc123def456ghi789"', "http://a:b@c\\"]
)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_what_is_masked_stays_json_and_is_masked_for_good(value):
    secrets = Secrets({"A_KEY": 'a "quoted" \\ ü key 1'})
    masked = secrets.value(value)
    assert secrets.value(json.loads(json.dumps(masked))) == masked
    if masked != value:
        # The quick look does not miss what the thorough one finds.
        assert secrets.may_be_in(json.dumps(value))
