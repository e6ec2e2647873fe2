# Awizo, as a user without rights on a root file system that may be read-only; state in /data.
#   docker build -t awizo .
#   docker run -p 127.0.0.1:8025:8025 -v awizo:/data --read-only --tmpfs /tmp awizo

FROM python:3.13-slim AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/awizo
WORKDIR /source
COPY requirements.lock requirements-dev.lock ./
RUN /opt/awizo/bin/python -m pip install --no-deps --only-binary :all: --require-hashes -r requirements.lock
# setuptools builds the wheel; it stays out of the image, and its hash stands in the lock, too.
RUN sed -n '/^setuptools==/,/^ *#/p' requirements-dev.lock > build.lock \
    && python -m pip install --no-deps --only-binary :all: --require-hashes -r build.lock
COPY . .
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/awizo/bin/python -m pip install --no-deps --no-index /wheel/*.whl \
    && /opt/awizo/bin/python -m compileall -q /opt/awizo/lib \
    && /opt/awizo/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Awizo" \
      org.opencontainers.image.description="Self-hosted REST service for mail configuration and templated sending" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 8025 awizo \
    && useradd --system --uid 8025 --gid awizo --no-create-home --shell /usr/sbin/nologin awizo \
    && install --directory --owner=awizo --group=awizo --mode=0700 /data
COPY --from=builder /opt/awizo /opt/awizo
ENV PATH=/opt/awizo/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AWIZO_DATA_DIR=/data \
    AWIZO_HOST=0.0.0.0
# By number, so that an orchestrator can see that it is not root.
USER 8025:8025
WORKDIR /data
VOLUME /data
EXPOSE 8025
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('AWIZO_PORT', '8025')), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["awizo"]
CMD ["serve"]
