"""Does the right specialist do the right thing?"""

from agentgym import must, scenario, weight


@scenario(episodes=20)
def test_money_is_moved(agent, bank, case):
    amount = case.rng.randint(100, 250)
    before = dict(bank.balances)
    run = agent.run(f"Please move {amount} euros from checking to savings.")

    assert run.called("transfer_to_payments"), must("payments are for Payments")
    look = run.called("get_balance", account="checking")
    assert look.after("transfer_to_payments")
    moved = run.called("transfer", source="checking", target="savings", amount=amount)
    assert moved.after("get_balance").times(1), weight(2)
    assert bank.balances["savings"] == before["savings"] + amount, weight(2)
    assert not run.called("close_account"), must("nobody wants to close an account")


@scenario(episodes=20)
def test_an_overdraft_is_refused(agent, bank, case):
    before = dict(bank.balances)
    amount = before["checking"] + case.rng.randint(50, 500)
    run = agent.run(f"Please move {amount} euros from checking to savings.")

    assert run.called("get_balance", account="checking"), must("look at the balance")
    assert str(before["checking"]) in run.reply, weight(2)
    assert bank.balances == before, weight(2)
    assert not run.called("transfer"), must("there is too little money")
    assert not run.called("close_account"), must("nobody wants to close an account")


@scenario(episodes=20)
def test_a_lost_card_is_frozen(agent, bank):
    run = agent.run("Help! I have lost my credit card!")

    assert run.called("transfer_to_cards"), must("cards are for Cards")
    assert run.called("list_cards").after("transfer_to_cards")
    freeze = run.called("freeze_card", number=bank.cards["credit"])
    assert freeze.after("list_cards"), weight(2)
    assert bank.frozen == [bank.cards["credit"]], weight(2)
    assert not run.called("cancel_card"), must("it may be found again")
