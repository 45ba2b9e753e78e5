"""The README says what its own lines print."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_print_what_stands_below_them():
    (code, *others), (printed, *_) = (
        re.findall(r"```python\n(.*?)```", README, re.S),
        re.findall(r"```text\n(.*?)```", README, re.S),
    )
    buffer = io.StringIO()
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(buffer):
        exec(code, names)
    assert buffer.getvalue() == printed
    for other in others:
        exec(other, names)


def test_the_two_commands_stand_where_they_should():
    first, second, *_ = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert first.count("\n") == second.count("\n") == 1
    assert "greeks report data/sample_book.csv --market data/market.toml --out report" in first
    assert "pytest" in second
