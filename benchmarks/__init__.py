"""Measurements: they print tables, and assert nothing."""
