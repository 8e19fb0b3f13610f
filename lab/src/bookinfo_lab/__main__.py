"""`python -m bookinfo_lab` is `bookinfo`."""

from bookinfo_lab.cli import main

main()
