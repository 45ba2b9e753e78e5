"""Geometric Brownian motion."""
