"""Triggers, behaviours and backdoors: text in, text out; no torch."""
