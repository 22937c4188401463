"""A run as one HTML file that needs no network, for reading and for showing around."""

from agentgym.report.html.document import check_writable
from agentgym.report.html.page import write_html

__all__ = ["check_writable", "write_html"]
