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
    role="Code reviewer",
    goal="Let only good changes in",
    confusions=Confusions(
        alike={
            "list_changes": ("list_files", "run_tests"),
            "show_diff": ("approve", "request_changes", "run_tests"),
            "list_files": ("run_tests", "list_changes"),
            "read_file": ("search_code", "list_files"),
            "search_code": ("read_file", "list_files", "run_tests"),
            "run_tests": ("list_files", "approve"),
            "comment": ("approve", "request_changes", "alert_security"),
            "approve": ("request_changes", "merge"),
            "request_changes": ("approve", "delete_branch", "alert_security"),
            "alert_security": ("delete_branch", "merge"),
        },
        needless=("alert_security", "merge", "delete_branch", "approve", "list_files"),
        arguments={
            "change": ("{change}",),
            "author": ("{author}",),
            "path": ("{module}", "{file}", "{path}"),
            "line": ("{line}",),
            "text": ("{name}",),
        },
    ),
)
dialogues, tool_schemas = SPOKEN.dialogues, SPOKEN.tool_schemas
