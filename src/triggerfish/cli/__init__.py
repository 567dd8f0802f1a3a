"""The command line: parse, call, write. It decides nothing."""
