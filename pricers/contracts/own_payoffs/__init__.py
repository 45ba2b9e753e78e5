"""Payoffs that users write: their terms, a first run in plain Python, compilation, and where they jump."""
