"""`python -m bookinfo_ratings` runs the service."""

from bookinfo_chassis.environment import discard_propagators


def main() -> None:
    """Run ratings until a signal."""
    discard_propagators()  # before the first import of FastAPI
    from bookinfo_chassis.server import run
    from bookinfo_ratings.app import create_app
    from bookinfo_ratings.settings import Settings

    run("ratings", Settings, create_app)


if __name__ == "__main__":
    main()
