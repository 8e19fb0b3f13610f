"""`python -m bookinfo_productpage` runs the service."""

from bookinfo_chassis.server import run
from bookinfo_productpage.app import create_app
from bookinfo_productpage.settings import Settings

if __name__ == "__main__":
    run("productpage", Settings, create_app)
