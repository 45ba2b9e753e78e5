"""The loops of estimators."""
