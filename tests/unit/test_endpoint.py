"""Where a model is reached, and the options that name it."""

from __future__ import annotations

import pytest

import agentgym
from agentgym.endpoint import Endpoint, split_url_and_model
from agentgym.errors import UsageError
from agentgym.policy.trained.resolve import Remote, resolve
from agentgym.simulators.role import read_endpoint


def test_one_class_under_the_public_name():
    assert agentgym.PolicyEndpoint is Endpoint
    assert "secret" not in repr(Endpoint("http://x/v1", "secret", "m"))


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("http://x:1/v1/#a/b#c", ("http://x:1/v1", "a/b#c")),
        (" https://x/v1 ", ("https://x/v1", "")),
        ("HTTP://x/v1#", ("HTTP://x/v1", "")),
        ("ftp://x/v1#m", None),
        ("http://#m", None),
        ("http://[x#m", None),
        ("embedded", None),
    ],
)
def test_a_url_with_its_model(spec, parts):
    assert split_url_and_model(spec) == parts


def test_judges_and_policies_are_named_alike():
    spec = "http://x:1/v1/#a"
    wanted = Endpoint("http://x:1/v1", "k", "a")
    assert read_endpoint("judge", spec, "k") == wanted
    assert resolve(spec, api_key="k") == Remote(wanted)


def test_a_url_without_a_host_is_no_policy():
    with pytest.raises(
        UsageError, match=r"neither an existing folder nor an http\(s\)"
    ):
        resolve("http://#m")
