"""Dialogues to imitate: the embedded policy is made of them."""

from __future__ import annotations

from agentgym.policy.build.mistakes import Confusions
from agentgym.policy.build.spoken_pack import SpokenPack

from .helpdesk import is_held_out
from .language import INSTRUCTIONS
from .oracles import ORACLES, situation

SPOKEN = SpokenPack(
    scenarios=list(ORACLES),
    situation=situation,
    instructions=INSTRUCTIONS,
    is_held_out=is_held_out,
    role="Support agent",
    goal="Help the customers of the shop",
    confusions=Confusions(
        alike={
            "find_orders": ("lookup_order", "track_shipment"),
            "lookup_order": ("track_shipment", "send_survey"),
            "track_shipment": ("lookup_order", "send_survey"),
            "issue_refund": ("charge_card", "cancel_order"),
            "cancel_order": ("track_shipment", "send_survey"),
            "update_address": ("send_survey", "cancel_order"),
            "open_ticket": ("send_survey", "hand_over"),
            "search_articles": ("hand_over",),
            "hand_over": ("open_ticket",),
        },
        needless=(
            *("send_survey", "open_ticket", "charge_card"),
            *("search_articles", "hand_over"),
        ),
        arguments={
            "order_id": ("{id}", "{customer}"),
            "amount": ("{total}",),
            "postcode": ("{postcode}",),
        },
    ),
)
dialogues, tool_schemas = SPOKEN.dialogues, SPOKEN.tool_schemas
