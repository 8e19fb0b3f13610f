"""Scenarios: what each teaches, what it applies, what traffic it sends, and what must be seen then."""
