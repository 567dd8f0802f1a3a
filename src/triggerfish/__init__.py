"""Triggerfish finds, explains and removes backdoors in fine-tuned language models."""

__version__ = "0.1.0"
