"""Damage to cached kernels, each tried in a process of its own that is forked from one which has imported everything but loaded nothing."""

import json
import os
import random
import subprocess
import sys

DRIVER = """
import json, os, random, signal, sys, warnings
from pathlib import Path

warnings.simplefilter("ignore")
{setup}

def loaded(folder):
    "Names of the entries that a run reads."
    from pricers.numerics import kernel_entry

    reading, writing = os.pipe()
    if os.fork() == 0:
        read = kernel_entry.read
        kernel_entry.read = lambda file, name: os.write(writing, (file.name + "\\n").encode()) and read(file, name)
        run()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        return sorted(set(lines.read().split()))

folder, mutations = Path(sys.argv[1]), json.loads(sys.argv[2])
originals = {{path.name: path.read_bytes() for path in sorted(folder.iterdir())}}
names = loaded(folder)
assert len(names) > 1, names
faults = []
for kind, seed in mutations:
    rng = random.Random(seed)
    name = rng.choice(names)
    damaged = bytearray(originals[name])
    if kind == "truncate":
        del damaged[rng.randrange(len(damaged)) :]
    elif kind == "swap":
        damaged = bytearray(originals[rng.choice([other for other in names if other != name])])
    else:
        for _ in range(kind):
            bit = rng.randrange(8 * len(damaged))
            damaged[bit // 8] ^= 1 << bit % 8
    if bytes(damaged) == originals[name]:
        continue
    (folder / name).write_bytes(damaged)
    child = os.fork()
    if child == 0:
        signal.alarm(240)
        try:
            os._exit(0 if run() == expected else 9)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(8)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = (folder / name).read_bytes() if (folder / name).exists() else b""
    if status != 0:
        faults.append([kind, seed, name, status])
    elif left == bytes(damaged):
        faults.append([kind, seed, name, "still there"])
    for path in folder.iterdir():
        if path.name not in originals:
            faults.append([kind, seed, path.name, "left over"])
            path.unlink()
    (folder / name).write_bytes(originals[name])
print(json.dumps(faults))
"""

PACKAGE = """
from pricers.callee import inner, middle
from pricers.caller import outer

expected = [5.0, 5.5, 55.0]

def run():
    return [inner(2.0), middle(2.0), outer(2.0)]
"""

GREEKS = """
import greeks, pricers, pandas
from greeks.engine.sensitivity import sensitivities
import greeks.estimators.likelihood_ratio, pricers.models.gbm.gbm, pricers.contracts.asian

expected = {expected}

def run():
    contract = pricers.Asian(option="call", strike=100.0, fixings=(0.5, 1.0))
    market = pricers.Market(spot=100.0, rate=0.05)
    found = sensitivities(contract, pricers.GBM(vol=0.2), market, greeks=("price", "delta", "vega"),
                          estimator="likelihood_ratio", plan=pricers.Plan(paths=1024, seed=3), threads=1)
    return [[e.value.hex(), e.stderr.hex()] for e in found.values()]
"""


def mutations(count, *, seed):
    """One, two, three or many flipped bits, a truncation, or another entry's content, in turn."""
    rng = random.Random(seed)
    kinds = (1, 3, 1, "truncate", 2, 64, 1, "swap")
    return [(kinds[i % len(kinds)], rng.randrange(2**32)) for i in range(count)]


def faults(folder, setup, damage, *, environment, timeout, cwd=None):
    """What went wrong under each damage: [kind, seed, entry, exit status or what was seen]."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER.format(setup=setup), str(folder), json.dumps(damage)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), done.stderr
