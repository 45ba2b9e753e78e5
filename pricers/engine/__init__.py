"""The only loop over blocks of paths: from a plan to moments, estimates and prices."""
