"""Scenarios: lessons in steps, and their verification with real traffic."""
