"""Dialogues to imitate: the embedded policy is made of them."""

from __future__ import annotations

from agentgym.policy.build.mistakes import Confusions
from agentgym.policy.build.spoken_pack import SpokenPack

from .language import INSTRUCTIONS
from .oracles import ORACLES, situation
from .values import SUBJECTS, TITLES, is_held_out

SPOKEN = SpokenPack(
    scenarios=list(ORACLES),
    situation=situation,
    instructions=INSTRUCTIONS,
    is_held_out=is_held_out,
    role="Assistant",
    goal="Keep the mailbox and the calendar of the user",
    names=(*SUBJECTS, *TITLES),
    confusions=Confusions(
        alike={
            "search_messages": ("find_contact", "list_events"),
            "read_message": ("search_messages", "find_contact"),
            "find_contact": ("search_messages", "list_events"),
            "draft_message": ("send_message", "forward_all"),
            "send_message": ("draft_message", "forward_all"),
            "list_events": ("free_slots", "search_messages"),
            "free_slots": ("list_events", "create_event"),
            "convert_time": ("create_event", "list_events"),
            "create_event": ("free_slots", "list_events", "convert_time"),
            "move_event": ("cancel_event", "create_event"),
            "cancel_event": ("move_event", "list_events", "delete_all"),
        },
        needless=(
            *("delete_all", "forward_all", "draft_message", "send_message"),
            *("create_event", "cancel_event", "list_events"),
        ),
        arguments={
            "to": ("{email}",),
            "text": ("{text}", "Thank you."),
            "word": ("{subject}", "{name}", "{title}"),
            "name": ("{name}", "{full_name}"),
            "message_id": ("{message}",),
            "draft_id": ("{draft}",),
            "date": ("{day}", "{to_day}"),
            "event_id": ("{event}",),
            "title": ("{title}",),
            "start": ("{start}", "{free}", "{there}", "{day} {time}"),
            "minutes": ("{minutes}",),
            "time": ("{there}", "{start}"),
            "zone": ("{zone}",),
        },
    ),
)
dialogues, tool_schemas = SPOKEN.dialogues, SPOKEN.tool_schemas
