"""From tasks to estimates: which estimators run, what they sample, and what their moments say."""
