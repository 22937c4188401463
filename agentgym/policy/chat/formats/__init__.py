"""How families of models write tool calls: one reader each, found by `probe`."""
