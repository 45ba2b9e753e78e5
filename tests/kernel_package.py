"""A small package that is called pricers, made of the real machinery of kernels, to try the disk cache in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
import time

import pricers.numerics.interpreted
import pricers.numerics.kernel
import pricers.numerics.kernel_entry
import pricers.numerics.trusted_folder

MACHINERY = (
    pricers.numerics.interpreted,
    pricers.numerics.kernel,
    pricers.numerics.kernel_entry,
    pricers.numerics.trusted_folder,
)

CALLEE = """
from pricers.numerics.kernel import device, kernel

SHIFT = {shift}

@device
def inner(x):
    return x * x + SHIFT

@kernel
def middle(x):
    return inner(x) + 0.5
"""

CALLER = """
from pricers.numerics.kernel import kernel
from pricers.callee import middle

@kernel
def outer(x):
    return 10.0 * middle(x)

@kernel(cached=False)
def unkept(x):
    return x + 1.0
"""

MAIN = """
import json, sys
import pricers.numerics.kernel
{before}
from pricers.caller import outer, unkept
value = outer(2.0)
unkept(1.0)
stats = outer.stats
place = pricers.numerics.kernel.cache_place()
print(json.dumps(dict(
    value=value, hits=sum(stats.cache_hits.values()), misses=sum(stats.cache_misses.values()),
    unkept_hits=sum(unkept.stats.cache_hits.values()), folder=place and str(place.folder),
)))
"""


class Package:
    """A copy of the machinery with two kernels, one calling the other from another module."""

    def __init__(self, root):
        self.root, self.sources = root, root / "sources" / "pricers"
        self.home = root / "home"
        self.sources.mkdir(parents=True)
        self.home.mkdir()
        (self.sources / "numerics").mkdir()
        for module in MACHINERY:
            shutil.copy(module.__file__, self.sources / "numerics")
        for folder in (self.sources, self.sources / "numerics"):
            (folder / "__init__.py").touch()
        (self.sources / "caller.py").write_text(CALLER)
        (root / "tmp").mkdir()
        self.environment = {"HOME": str(self.home), "USERPROFILE": str(self.home), "TMPDIR": str(root / "tmp")}
        self.write(shift=1.0)

    def write(self, shift):
        (self.sources / "callee.py").write_text(CALLEE.format(shift=shift))
        past = time.time() - 60.0
        for path in self.sources.rglob("*.py"):
            os.utime(path, (past, past))

    def start(self, *, before="", **environment):
        names = ("SCOREGREEKS_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA")
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", MAIN.format(before=before)],
            env={**inherited, **self.environment, "PYTHONPATH": str(self.sources.parent), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
        )

    def run(self, **options):
        return finish(self.start(**options))


def finish(process):
    """What a process printed; its standard error beside that, under "stderr"."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return {**json.loads(out), "stderr": err}
