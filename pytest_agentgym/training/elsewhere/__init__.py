"""`--agentgym-gateway`: plays for a training whose gateway is somewhere else."""
