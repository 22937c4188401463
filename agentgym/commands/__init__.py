"""The command line: `agentgym ...`."""
