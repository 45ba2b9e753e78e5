"""Files of trades in: one format a file, each a module with `SUFFIXES` and a function ``read(path, most_bytes)`` that returns a table."""
