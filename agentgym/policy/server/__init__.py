"""The policy server: an OpenAI-compatible API in a process of its own."""
