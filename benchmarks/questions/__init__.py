"""Questions, one a file: a title, and a function ``run`` from settings to a report."""
