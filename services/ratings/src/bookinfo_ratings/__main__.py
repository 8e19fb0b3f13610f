"""`python -m bookinfo_ratings` runs the service."""

from bookinfo_chassis.server import run
from bookinfo_ratings.app import create_app
from bookinfo_ratings.settings import Settings

if __name__ == "__main__":
    run("ratings", Settings, create_app)
