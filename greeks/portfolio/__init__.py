"""A table of trades and a market file, and what a run says of them: rows and totals."""
