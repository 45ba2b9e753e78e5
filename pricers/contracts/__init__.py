"""Contract families, one a file."""
