"""`python -m bookinfo_productpage` runs the service."""

from bookinfo_chassis.environment import discard_propagators


def main() -> None:
    """Run productpage until a signal."""
    discard_propagators()  # before the first import of FastAPI
    from bookinfo_chassis.server import run
    from bookinfo_productpage.app import create_app
    from bookinfo_productpage.settings import Settings

    run("productpage", Settings, create_app)


if __name__ == "__main__":
    main()
