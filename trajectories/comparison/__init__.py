"""Comparisons between arms and with published cohorts: weighted and standardised contrasts, and how far they can be trusted."""
