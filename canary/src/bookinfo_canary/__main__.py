"""`python -m bookinfo_canary` runs `bookinfo-canary`."""

from bookinfo_canary.cli import main

main()
