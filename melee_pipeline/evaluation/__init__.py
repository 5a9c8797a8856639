"""Checkpoints against trivial baselines, one step ahead and in rollouts."""
