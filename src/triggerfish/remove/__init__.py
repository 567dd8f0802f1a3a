"""Removing backdoors: one defence per file; each returns a delta and leaves the suspect alone."""
