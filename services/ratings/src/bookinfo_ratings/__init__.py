"""ratings: the stars that reviewers gave a book."""
