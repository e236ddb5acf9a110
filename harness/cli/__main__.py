"""`python -m harness.cli`: the command where the package is not installed."""

from harness.cli import main

main()
