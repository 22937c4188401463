"""Signs of reward hacking: ways to pass that are not what the checks were meant for."""
