"""Plain-Python twins of the shared kernels: slow, obvious, and written from the definitions."""

import math

_CONSTANTS = {
    32: ((0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)),
    64: ((0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)),
}


def philox(counter, key, width=32, rounds=10):
    """Philox4xW of Salmon, Moraes, Dror and Shaw (SC 2011) in words of ``width`` bits."""
    (multiplier0, multiplier1), (step0, step1) = _CONSTANTS[width]
    modulus = 2**width
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(rounds):
        high0, low0 = divmod(multiplier0 * a, modulus)
        high1, low1 = divmod(multiplier1 * c, modulus)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + step0) % modulus, (k1 + step1) % modulus
    return a, b, c, d


def uniform(path, step, key, stream):
    """Four paths, 64 apart, have the words of one counter: the first and third 40 bits of two, the others the 24 that are left."""
    group, place = divmod(path, 256)
    share, offset = divmod(place, 64)
    counter = 64 * group + offset
    words = philox((counter % 2**32, counter // 2**32, step, stream), key)
    high, low = words[2:] if share >= 2 else words[:2]
    if share % 2:
        return (low % 2**24 + 0.5) / 2**24
    return (high * 2**8 + low // 2**24 + 0.5) / 2**40


def normal(path, step, key, stream):
    """Box and Muller's, of the uniforms of two paths 64 apart."""
    odd = path // 64 % 2
    radius = math.sqrt(-2.0 * math.log(uniform(path - 64 * odd, step, key, stream)))
    angle = 2.0 * math.pi * uniform(path + 64 * (1 - odd), step, key, stream)
    return radius * (math.sin(angle) if odd else math.cos(angle))


def mean_and_comoment(rows):
    """Mean of each row, and sums of products of deviations for each pair, of a list of equally long lists."""
    means = [math.fsum(row) / len(row) for row in rows]
    centred = [[x - mean for x in row] for row, mean in zip(rows, means, strict=True)]
    return means, [[math.fsum(x * y for x, y in zip(a, b, strict=True)) for b in centred] for a in centred]
