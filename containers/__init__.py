"""Commands that build and check the container images, such as `python -m containers.build`. See the Makefile."""
