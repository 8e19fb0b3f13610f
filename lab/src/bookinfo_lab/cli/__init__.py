"""The `bookinfo` command: its commands, options and tables."""
