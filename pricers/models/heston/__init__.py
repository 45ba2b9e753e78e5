"""Heston's stochastic variance."""
