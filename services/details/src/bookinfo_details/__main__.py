"""`python -m bookinfo_details` runs the service."""

from bookinfo_chassis.environment import discard_propagators


def main() -> None:
    """Run details until a signal."""
    discard_propagators()  # before the first import of FastAPI
    from bookinfo_chassis.server import run
    from bookinfo_details.app import create_app
    from bookinfo_details.settings import Settings

    run("details", Settings, create_app)


if __name__ == "__main__":
    main()
