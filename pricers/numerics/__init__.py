"""Compiled arithmetic on bare numbers: it knows no word of finance."""
