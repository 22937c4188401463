"""Dialogues to imitate: the embedded policy is made of them."""

from __future__ import annotations

from agentgym.policy.build.mistakes import Confusions
from agentgym.policy.build.spoken_pack import SpokenPack

from .language import INSTRUCTIONS
from .oracles import ORACLES, situation
from .values import is_held_out

SPOKEN = SpokenPack(
    scenarios=list(ORACLES),
    situation=situation,
    instructions=INSTRUCTIONS,
    is_held_out=is_held_out,
    role="Data analyst",
    goal="Answer questions about the shop",
    confusions=Confusions(
        alike={
            "list_tables": ("describe_table", "refresh_table"),
            "describe_table": ("list_tables", "refresh_table"),
            "lookup_term": ("list_tables", "describe_table"),
            "run_query": ("describe_table", "lookup_term", "list_tables"),
            "make_chart": ("save_report", "publish_table"),
            "save_report": ("make_chart", "publish_table", "delete_report"),
        },
        needless=("refresh_table", "publish_table", "delete_rows", "make_chart"),
        arguments={
            "table": ("orders", "customers", "{table}"),
            "where": ("status = 'open'", "brand = '{brand}'"),
            "result": ("{result}",),
            "name": ("{report}",),
        },
        slips={
            "sql": (
                (r"SUM\(", "COUNT("),
                (r"SUM\(", "MAX("),
                (r"COUNT\(\*\)", "*"),
                (r" WHERE .*?(?= GROUP|$)", ""),
                (r" AND .*?(?= GROUP|$)", ""),
                (r" ORDER BY 2 DESC", " ORDER BY 2"),
                (r" GROUP BY \w+", ""),
                (r"IS NULL", "= 0"),
                (r"(brand|name|city) =", "customer ="),
                (r"FROM orders", "FROM sales"),
            )
        },
    ),
)
dialogues, tool_schemas = SPOKEN.dialogues, SPOKEN.tool_schemas
