"""reviews: the reviews of a book, in three versions."""
