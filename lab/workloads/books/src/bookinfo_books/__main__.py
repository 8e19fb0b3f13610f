"""`python -m bookinfo_books` runs the service."""

from bookinfo_books.app import create_app
from bookinfo_books.settings import Settings
from bookinfo_chassis.server import run

if __name__ == "__main__":
    run("books", Settings, create_app)
