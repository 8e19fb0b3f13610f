"""`python -m bookinfo_details` runs the service."""

from bookinfo_chassis.server import run
from bookinfo_details.app import create_app
from bookinfo_details.settings import Settings

if __name__ == "__main__":
    run("details", Settings, create_app)
