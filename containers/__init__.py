"""Makes and judges the container images: each module is a command (`python -m containers.build`), see the Makefile."""
