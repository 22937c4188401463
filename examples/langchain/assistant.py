"""A calendar assistant, as LangChain's documentation writes agents."""

from dataclasses import asdict, dataclass, field

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_openai import ChatOpenAI


@dataclass
class Event:
    id: str
    title: str
    day: str
    start: str


@dataclass
class Calendar:
    events: dict[str, Event] = field(default_factory=dict)

    def add(self, title: str, day: str, start: str) -> Event:
        event = Event(f"ev{len(self.events) + 1}", title, day, start)
        self.events[event.id] = event
        return event


@dataclass
class Context:
    calendar: Calendar


@tool
def list_events(day: str, runtime: ToolRuntime[Context]) -> list[dict[str, str]]:
    """List the events of a day, such as Monday."""
    events = runtime.context.calendar.events.values()
    return [asdict(event) for event in events if event.day == day]


@tool
def add_event(title: str, day: str, start: str, runtime: ToolRuntime[Context]) -> str:
    """Add an event of an hour that starts at, say, 14:00."""
    return f"added as {runtime.context.calendar.add(title, day, start).id}"


@tool
def move_event(event_id: str, start: str, runtime: ToolRuntime[Context]) -> str:
    """Let an event start at another time of its day."""
    event = runtime.context.calendar.events.get(event_id)
    if event is None:
        return f"there is no event {event_id}"
    event.start = start
    return f"{event.title} is at {start} now"


@tool
def delete_event(event_id: str, runtime: ToolRuntime[Context]) -> str:
    """Delete an event for good."""
    deleted = runtime.context.calendar.events.pop(event_id, None)
    return "deleted" if deleted else f"there is no event {event_id}"


assistant = create_agent(
    ChatOpenAI(model="gpt-4.1-mini"),
    tools=[list_events, add_event, move_event, delete_event],
    system_prompt=(
        "You keep the user's calendar. Look at the day before you change it, and "
        "never put two events at the same time. Answer in one sentence."
    ),
    context_schema=Context,
)

if __name__ == "__main__":
    calendar = Calendar()
    calendar.add("Team meeting", "Monday", "10:00")
    question = {"messages": [("user", "Move Monday's team meeting to 11:00.")]}
    answer = assistant.invoke(question, context=Context(calendar))
    print(answer["messages"][-1].content)
