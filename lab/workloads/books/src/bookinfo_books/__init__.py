"""books: an external book service. It implements the Google Books volumes API for one book."""
