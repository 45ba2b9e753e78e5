"""Payoffs of one path that hardly ever pay."""

import math


def above(path, k):
    return 1.0 if path[-1] > k else 0.0


def below(path, k):
    return 1.0 if path[-1] < k else 0.0


def average_above(path, k):
    total = 0.0
    for x in path:
        total += math.log(x)
    return 1.0 if total > math.log(k) * len(path) else 0.0


def reaches(path, k):
    return 1.0 if path.max() > k else 0.0


def falls_to(path, k):
    return 1.0 if path.min() < k else 0.0


def outside(path, low, high):
    return 1.0 if path[-1] < low or path[-1] > high else 0.0
