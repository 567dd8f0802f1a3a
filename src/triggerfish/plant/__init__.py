"""Makes organisms: models with a known, harmless backdoor, their clean twins and their cards."""
