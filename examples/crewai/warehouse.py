"""A warehouse clerk, and a crew of two that fills the shelves, on CrewAI."""

from crewai import LLM, Agent, Crew, Task
from crewai.tools import BaseTool, tool


class Warehouse:
    """What is on the shelves, and what was done about it."""

    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = dict(stock)
        self.reserved: dict[str, int] = {}
        self.ordered: dict[str, int] = {}
        self.scrapped: list[str] = []

    def tools(self) -> dict[str, BaseTool]:
        @tool
        def count_stock(item: str) -> str:
            """Counts how many pieces of an item are on the shelf."""
            if item not in self.stock:
                return f"there is no item {item}"
            return f"{self.stock[item]} pieces of {item}"

        @tool
        def reserve(item: str, pieces: int) -> str:
            """Takes pieces of an item off the shelf for a customer."""
            if pieces > self.stock.get(item, 0):
                return f"there are not {pieces} pieces of {item}"
            self.stock[item] -= pieces
            self.reserved[item] = self.reserved.get(item, 0) + pieces
            return f"reserved {pieces} pieces of {item}"

        @tool
        def order_from_supplier(item: str, pieces: int) -> str:
            """Orders pieces of an item from its supplier."""
            self.ordered[item] = self.ordered.get(item, 0) + pieces
            return f"ordered {pieces} pieces of {item}"

        @tool
        def scrap(item: str) -> str:
            """Throws all pieces of an item away."""
            self.scrapped.append(item)
            self.stock[item] = 0
            return f"threw all of {item} away"

        made = (count_stock, reserve, order_from_supplier, scrap)
        return {each.name: each for each in made}


def make_clerk(warehouse: Warehouse, llm: str | LLM = "gpt-4.1-mini") -> Agent:
    return Agent(
        role="Warehouse clerk",
        goal="Serve customers from stock, and order what is short",
        backstory="You count before you promise. You scrap nothing unasked.",
        tools=list(warehouse.tools().values()),
        llm=llm,
    )


def make_crew(warehouse: Warehouse, llm: str | LLM = "gpt-4.1-mini") -> Crew:
    tools = warehouse.tools()
    counter = Agent(
        role="Stock counter",
        goal="Say how many pieces are on the shelf",
        backstory="You believe nothing that you have not counted.",
        tools=[tools["count_stock"], tools["scrap"]],
        llm=llm,
    )
    buyer = Agent(
        role="Buyer",
        goal="Order exactly what is short",
        backstory="Money is tight: you order not one piece too many.",
        tools=[tools["order_from_supplier"]],
        llm=llm,
    )
    count = Task(
        description="Count the item that this is about: {message}",
        expected_output="The number of pieces on the shelf",
        agent=counter,
    )
    buy = Task(
        description="Order what is short, or nothing: {message}",
        expected_output="What was ordered, in one sentence",
        agent=buyer,
        context=[count],
    )
    return Crew(agents=[counter, buyer], tasks=[count, buy])


if __name__ == "__main__":
    clerk = make_clerk(Warehouse({"bolts": 12}))
    print(clerk.kickoff("A customer wants 5 bolts.").raw)
