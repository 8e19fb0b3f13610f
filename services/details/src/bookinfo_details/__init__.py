"""details: the details of a book."""
