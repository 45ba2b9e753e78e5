"""Estimators, one a file."""
