"""books: an external book service, the Google Books volumes API for the one book that details v2 asks for."""
