"""Detectors: what a model does that it should not, and the verification of it."""
