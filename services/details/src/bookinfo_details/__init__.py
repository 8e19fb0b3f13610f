"""details: the facts about a book."""
