"""`python -m bookinfo_books` runs the service."""

from bookinfo_chassis.environment import discard_propagators


def main() -> None:
    """Run books until a signal."""
    discard_propagators()  # before the first import of FastAPI
    from bookinfo_books.app import create_app
    from bookinfo_books.settings import Settings
    from bookinfo_chassis.server import run

    run("books", Settings, create_app)


if __name__ == "__main__":
    main()
