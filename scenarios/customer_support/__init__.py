"""Customer support: a help desk with eleven tools."""
