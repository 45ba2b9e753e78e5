"""A process that has everything imported and compiled, and starts runs of the command that it ends at a random moment.

It reads a line of JSON for each run: arguments, signal, and either the seconds or the operation of the file system after which the
signal comes (or neither). It answers with the wait status and the seconds the run took.
"""

import json
import os
import signal
import sys
import time

STEPS = {"os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"}


def run(arguments, errors, sign, step):
    """The command in this process, which ends with it."""
    import greeks.commands.cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    if step is not None:
        left = [step]

        def hook(event, of):
            if event in STEPS and not str(of[0]).startswith(("/proc", "/dev", "/sys")):
                left[0] -= 1
                if left[0] == -1:
                    os.kill(os.getpid(), sign)

        sys.addaudithook(hook)
    try:
        code = greeks.commands.cli.main(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:  # before the command took the signals, or after it gave them back
        os._exit(99)
    os._exit(code)


def main():
    """Serve until the end of standard input."""
    import books
    import jinja2  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import greeks.commands.cli
    import greeks.report.html
    import greeks.report.writer  # noqa: F401
    from greeks.portfolio.crosscheck import crosscheck_run
    from greeks.portfolio.risk import risk_run
    from pricers import Plan

    for each in (risk_run, crosscheck_run):  # in one thread: a child has no other
        each(books.book(books.trade("1")), books.MARKET, plan=Plan(paths=200), threads=1)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            run(asked["arguments"], asked["errors"], asked["signal"], asked.get("step"))
        if asked.get("seconds") is not None:
            time.sleep(asked["seconds"])
            os.kill(child, asked["signal"])  # it is no zombie's number: nobody has waited for it
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": status, "seconds": time.monotonic() - start}), flush=True)


if __name__ == "__main__":
    main()
