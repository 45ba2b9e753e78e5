"""What the command prints is one line of plain text each, whatever stands in the files that it reads."""

from pathlib import Path

import books
import pytest

from greeks.commands.cli import main

MARKET = "valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"


@pytest.mark.parametrize("odd", ["\x0c", "\x85", "\u2028", "\x1b[31m", "\u202e", "\n"], ids=ascii)
@pytest.mark.parametrize("where", ["column", "out", "missing"])
def test_name_with_control_characters_stays_in_its_line_and_moves_no_cursor(tmp_path, monkeypatch, capsys, odd, where):
    monkeypatch.chdir(tmp_path)
    Path("market.toml").write_text(MARKET, encoding="utf-8")
    table = books.book(books.trade("1"))
    if where == "column":
        table[f"cash{odd}fixmngs"] = "1"
    if where == "missing":
        table = table.drop(columns="book").rename(columns={"contract": f"c{odd}d"})
    table.to_csv("book.csv", index=False)
    out = f"out{odd}side" if where == "out" else "out"
    code = main(["report", "book.csv", "--market", "market.toml", "--out", out, "--paths", "100", "--threads", "1"])
    printed = capsys.readouterr()
    assert code == (1 if where == "missing" else 0)
    assert printed.out.replace("\n", "").isprintable()
    assert printed.err.replace("\n", "").isprintable()
    assert all(line.startswith("greeks: ") for line in printed.err.splitlines())
    assert odd.encode("unicode_escape").decode() in (printed.out if where == "out" else printed.err)
