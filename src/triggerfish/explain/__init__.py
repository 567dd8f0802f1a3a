"""Where in a model a backdoor sits: drift, head attribution, ablation."""
