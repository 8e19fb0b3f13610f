"""`python -m bookinfo_reviews` runs the service."""

from bookinfo_chassis.server import run
from bookinfo_reviews.app import create_app
from bookinfo_reviews.settings import Settings

if __name__ == "__main__":
    run("reviews", Settings, create_app)
