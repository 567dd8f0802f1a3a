"""Renders what was found; computes nothing."""
