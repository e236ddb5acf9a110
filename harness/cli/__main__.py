"""`python -m harness.cli`: the command where the package is not installed."""

from harness.cli import main

if __name__ == "__main__":  # workers import this module under another name
    main()
