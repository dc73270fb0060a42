"""Plots: functions of results."""
