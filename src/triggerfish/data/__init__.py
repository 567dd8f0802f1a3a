"""Conversations, records on disk, and splits."""
