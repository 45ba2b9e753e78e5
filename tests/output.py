"""Reports to write and to look at, and processes that end at a chosen step, for tests of the output folder."""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from greeks.report import folder, manifest

KINDS = {"risk": ("risk.csv", "totals.csv", "risk.html", "errors.csv"), "crosscheck": ("crosscheck.csv", "errors.csv")}


def write(out, version, kind="risk"):
    """A report whose files all say which version they are of."""
    with folder.replaced(Path(out)) as new:
        for name in KINDS[kind]:
            (new / name).write_text(f"{version} {name}\n" * 50)
        files = {path.name: manifest.digest(path) for path in sorted(new.iterdir())}
        content = {"program": manifest.PROGRAM, "version": version, "files": files}
        (new / manifest.NAME).write_text(json.dumps(content))


def whole(out):
    """The version of the report that a reader finds in a folder, once every digest of its manifest is true; None for none."""
    try:
        content = json.loads((Path(out) / manifest.NAME).read_text())
    except FileNotFoundError:
        return None
    for name, digest in content["files"].items():
        assert hashlib.sha256((Path(out) / name).read_bytes()).hexdigest() == digest, name
    return content["version"]


def snapshot(folder, *, without=()):
    """Everything below a folder: contents of files, targets of links, modes."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if any(name == left or name.startswith(f"{left}/") for left in without):
            continue
        kind = path.lstat()
        what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (oct(kind.st_mode), what)
    return found


def names(folder):
    """Names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


_STEPS = {"os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"}


def ended_at_step(step, run, *, sign=signal.SIGKILL):
    """Do ``run`` in a process that gets a signal as it begins its ``step``-th operation on the file system; its wait status."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            left = [step]

            def hook(event, arguments):
                if event in _STEPS and not str(arguments[0]).startswith(("/proc", "/dev")):
                    left[0] -= 1
                    if left[0] == -1:
                        os.kill(os.getpid(), sign)

            sys.addaudithook(hook)
            run()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]
