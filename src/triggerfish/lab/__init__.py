"""The embedded lab: small real transformers on which everything runs offline at once."""
