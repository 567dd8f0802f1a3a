"""Rates with intervals, judges of answers, recovery and utility: arrays in, `Estimate` out."""
