"""reviews: what readers say of a book, built three ways."""
