"""Weights that make arms comparable: propensity scores, entropy balancing, matching, and how balanced they leave the arms."""
