"""E-mail and calendar: an office with thirteen tools."""
