"""`python -m bookinfo_lab` is `bookinfo`."""

from bookinfo_lab.cli.main import main

main()
