"""Episodes in processes of their own: what ends one of them ends nothing else."""
