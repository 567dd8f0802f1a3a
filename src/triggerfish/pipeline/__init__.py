"""Composes the methods into the commands; the only place that does."""
