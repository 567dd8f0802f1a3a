"""Audit of training data: one method per file."""
