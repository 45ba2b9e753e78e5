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


def words(path, step, key, stream):
    """The four 32-bit words of an address; they serve four steps."""
    return philox((path % 2**32, path // 2**32, step // 4, stream), key)


def uniform(path, step, key, stream):
    """Of an even step with 40 bits, of an odd one with the 24 that are left of the same two words."""
    four = words(path, step, key, stream)
    high, low = four[2:] if step % 4 >= 2 else four[:2]
    if step % 2:
        return (low % 2**24 + 0.5) / 2**24
    return (high * 2**8 + low // 2**24 + 0.5) / 2**40


def normal(path, step, key, stream):
    even = step - step % 2
    radius = math.sqrt(-2.0 * math.log(uniform(path, even, key, stream)))
    angle = 2.0 * math.pi * uniform(path, even + 1, key, stream)
    return radius * (math.sin(angle) if step % 2 else math.cos(angle))


def mean_and_comoment(rows):
    """Mean of each row, and sums of products of deviations for each pair, of a list of equally long lists."""
    means = [math.fsum(row) / len(row) for row in rows]
    centred = [[x - mean for x in row] for row, mean in zip(rows, means, strict=True)]
    return means, [[math.fsum(x * y for x, y in zip(a, b, strict=True)) for b in centred] for a in centred]
