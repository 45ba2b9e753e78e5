"""The page on own payoffs: its examples run, and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "own_payoffs.md").read_text(encoding="utf-8")


def test_the_examples_print_what_stands_below_them():
    names: dict[str, object] = {}
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE, re.S)
    assert [kind for kind, _ in blocks].count("text") >= 5
    printed = ""
    for kind, block in blocks:
        if kind == "text":
            assert printed == block
            printed = ""
            continue
        assert not printed, printed
        buffer = io.StringIO()
        with contextlib.redirect_stdout(buffer):
            exec(block, names)
        printed = buffer.getvalue()
    assert not printed
