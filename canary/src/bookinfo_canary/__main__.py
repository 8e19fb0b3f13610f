"""`python -m bookinfo_canary` is `bookinfo-canary`."""

from bookinfo_canary.cli import main

main()
