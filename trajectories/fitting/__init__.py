"""Fitting models: NUTS, classical estimators, convergence, results and their files."""
