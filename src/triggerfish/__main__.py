"""`python -m triggerfish`: the command line."""

from triggerfish.cli.main import main

if __name__ == "__main__":
    main()
