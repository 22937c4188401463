"""The address by which Agent Lightning's controller, or a job, finds our episode.

A rollout's `config.local` names it, and its `input` is a `Task`:

    {"agent_class": "agentgym.runner:Episode", "env_map": agentgym.runner.ENV_MAP}

A Kubernetes job runs `python -m agentgym.runner`.
"""

from __future__ import annotations

from agentgym.cluster.rollout import ENV_MAP, Episode, main

__all__ = ["ENV_MAP", "Episode"]

if __name__ == "__main__":
    raise SystemExit(main())
