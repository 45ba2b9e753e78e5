"""A run as files: one format a file, each a module with a function ``write(run, facts, folder)``."""
