"""From quotes to a model's parameters."""
