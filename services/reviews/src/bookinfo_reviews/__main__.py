"""`python -m bookinfo_reviews` runs the service."""

from bookinfo_chassis.environment import discard_propagators


def main() -> None:
    """Run reviews until a signal."""
    discard_propagators()  # before the first import of FastAPI
    from bookinfo_chassis.server import run
    from bookinfo_reviews.app import create_app
    from bookinfo_reviews.settings import Settings

    run("reviews", Settings, create_app)


if __name__ == "__main__":
    main()
