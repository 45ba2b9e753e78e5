"""Estimates of one number held against each other: references and verdicts."""
