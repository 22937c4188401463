"""A bank's assistant on the OpenAI Agents SDK: a triage agent with two specialists."""

import asyncio
from dataclasses import dataclass, field

from agents import Agent, Runner, function_tool


@dataclass
class Bank:
    """One customer's accounts, by name, and cards, by kind, and what became of them."""

    balances: dict[str, int]
    cards: dict[str, str]
    frozen: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def make_assistant(bank: Bank) -> Agent:
    @function_tool
    def get_balance(account: str) -> str:
        """Tell what is on an account, in euros."""
        return f"{bank.balances[account]} euros"

    @function_tool
    def transfer(source: str, target: str, amount: int) -> str:
        """Transfer euros from one of the customer's accounts to another one."""
        if amount > bank.balances[source]:
            raise ValueError(f"there are only {bank.balances[source]} euros")
        bank.balances[source] -= amount
        bank.balances[target] += amount
        return "done"

    @function_tool
    def list_cards() -> dict[str, str]:
        """List the customer's cards: kind and number."""
        return bank.cards

    @function_tool
    def freeze_card(number: str) -> str:
        """Freeze a card until it is found again."""
        bank.frozen.append(number)
        return f"card {number} is frozen"

    @function_tool
    def cancel_card(number: str) -> str:
        """Cancel a card for good."""
        bank.cancelled.append(number)
        return f"card {number} is cancelled"

    @function_tool
    def close_account(account: str) -> str:
        """Close an account for good."""
        bank.closed.append(account)
        return f"{account} is closed"

    payments = Agent(
        name="Payments",
        instructions="You move money. Look at the balance first; overdraw nothing.",
        tools=[get_balance, transfer, close_account],
    )
    cards = Agent(
        name="Cards",
        instructions="You look after cards. Look the number up before you freeze one.",
        tools=[list_cards, freeze_card, cancel_card],
    )
    return Agent(
        name="Triage",
        instructions="Hand the customer over to the right specialist.",
        handoffs=[payments, cards],
    )


if __name__ == "__main__":
    bank = Bank({"checking": 500, "savings": 50}, {"debit": "4026"})
    question = "Move 100 euros from checking to savings."
    print(asyncio.run(Runner.run(make_assistant(bank), question)).final_output)
