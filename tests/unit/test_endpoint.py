"""Where a model is reached, and the options that name it."""

from __future__ import annotations

import pytest

import agentgym
from agentgym.endpoint import Endpoint, split_url_and_model, without_secrets
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://keeper:plum@host:1/v1#m", "http://***@host:1/v1#m"),
        ("https://token@host/v1", "https://***@host/v1"),
        ("http://a:p@ss@host", "http://***@host"),
        ("http://host/v1?key=pear#m", "http://host/v1?key=***#m"),
        (
            "http://host/v1?v=2&api_key=pear&x-api-key=plum&page=3",
            "http://host/v1?v=2&api_key=***&x-api-key=***&page=3",
        ),
        (
            "http://host/?X-Amz-Signature=ab&accessToken=cd&sig=ef",
            "http://host/?X-Amz-Signature=***&accessToken=***&sig=***",
        ),
        (
            "'http://host/v1?key=pear' answered 500",
            "'http://host/v1?key=***' answered 500",
        ),
        ("mail me@host; http://host/v1?keyword=pear", None),
        ("http://host/a@b?q=1 and x == y", None),
    ],
)
def test_the_secrets_of_an_address_are_masked_in_any_text(text, shown):
    assert without_secrets(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("http://keeper:plum-jam@127.0.0.1:9/v1", "plum-jam"),
        ("http://127.0.0.1:9/v1?key=pear-tart", "pear-tart"),
        ("htp://keeper:plum-jam@host/v1", "plum-jam"),
        ("http://keeper:plum-jam@[x/v1", "plum-jam"),
    ],
)
def test_no_sentence_about_an_address_tells_its_secrets(address, secret):
    said = []
    with pytest.raises(UsageError) as refused:
        resolve(address)
    said.append(str(refused.value))
    for spec in (address, f"{address}#", f"file{address}#m"):
        with pytest.raises(UsageError) as refused:
            read_endpoint("judge", spec, "k")
        said.append(str(refused.value))
    said.append(repr(Endpoint(address, "k", "m")))
    assert secret not in " ".join(said)
    assert all("***" in sentence for sentence in said)
