"""The loss of a token, against plain formulas and autograd."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from agentgym.training.step.loss import kl_to_start, policy_loss  # noqa: E402

KINDS = ["cispo", "tis", "grpo", "clip_higher"]
CASES = [
    (now, recorded, advantage)
    for now in (-0.01, -1.0, -3.0, -6.0)
    for recorded in (-0.02, -0.9, -1.3, -3.1, -8.0)
    for advantage in (-1.5, -0.2, 0.0, 0.7)
]


def by_hand(kind: str, now: float, recorded: float, advantage: float):
    """Loss and its derivative after `now`, from the papers' formulas."""
    ratio = math.exp(now - recorded)
    if kind == "tis":
        weight = min(ratio, 2.0)
        return -weight * advantage * now, -weight * advantage
    if kind == "cispo":
        weight = min(max(ratio, 0.8), 2.0)
        return -weight * advantage * now, -weight * advantage
    high = 1.28 if kind == "clip_higher" else 1.2
    clipped = min(max(ratio, 0.8), high)
    loss = -min(ratio * advantage, clipped * advantage)
    passes = ratio * advantage <= clipped * advantage
    return loss, -ratio * advantage if passes else 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_its_formula(kind):
    now, recorded, advantages = torch.tensor(CASES, dtype=torch.float64).unbind(1)
    now = now.clone().requires_grad_()
    loss, clipped = policy_loss(now, recorded, advantages, kind)
    loss.sum().backward()
    wanted = [by_hand(kind, *case) for case in CASES]
    assert loss.tolist() == pytest.approx([loss for loss, _ in wanted])
    assert now.grad.tolist() == pytest.approx([slope for _, slope in wanted])
    assert clipped.dtype == torch.bool
    for case, (_, slope), flag in zip(CASES, wanted, clipped.tolist(), strict=True):
        ratio = math.exp(case[0] - case[1])
        if kind in ("grpo", "clip_higher"):
            assert flag == (slope == 0 and case[2] != 0)
        else:
            assert flag == (ratio > 2 or (kind == "cispo" and ratio < 0.8))


@pytest.mark.parametrize("kind", KINDS)
def test_on_policy_all_have_the_policy_gradient(kind):
    logits = torch.randn(6, 11, dtype=torch.float64, requires_grad=True)
    chosen = torch.randint(11, (6, 1))
    advantages = torch.randn(6, dtype=torch.float64)
    logprobs = logits.log_softmax(-1).gather(-1, chosen)[:, 0]
    loss, clipped = policy_loss(logprobs, logprobs.detach(), advantages, kind)
    [found] = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
    [plain] = torch.autograd.grad(-(advantages * logprobs).sum(), logits)
    torch.testing.assert_close(found, plain)
    assert not clipped.any()


def test_kl_is_never_negative_and_pulls_as_the_divergence_does():
    start = torch.randn(13, dtype=torch.float64).log_softmax(-1)
    logits = (start + 0.3 * torch.randn(13, dtype=torch.float64)).requires_grad_()
    now = logits.log_softmax(-1)
    estimates = kl_to_start(now, start)
    assert (estimates >= 0).all()
    assert kl_to_start(now, now).abs().max() == 0
    # The mean gradient over what the present policy samples is the divergence's own.
    sampled = (now.detach().exp() * estimates).sum()
    [found] = torch.autograd.grad(sampled, logits, retain_graph=True)
    [exact] = torch.autograd.grad((now.exp() * (now - start)).sum(), logits)
    torch.testing.assert_close(found, exact)
