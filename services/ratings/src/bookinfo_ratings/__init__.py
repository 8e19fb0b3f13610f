"""ratings: the stars that each reviewer gave a book."""
