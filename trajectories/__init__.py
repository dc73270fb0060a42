"""Disability trajectories in multiple sclerosis."""
