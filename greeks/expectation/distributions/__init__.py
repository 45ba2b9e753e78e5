"""Distributions, one a file."""
