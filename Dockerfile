# syntax=docker/dockerfile:1
# The server: `docker build --tag pinwarden .`, then deploy/compose.yaml.

ARG PYTHON=3.13-slim-trixie

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/server.txt requirements/build.txt requirements/
# Wheels alone, each checked against its hash: nothing is compiled, and nothing runs while it is installed.
RUN python -m venv /opt/pinwarden \
    && python -m venv /opt/build \
    && /opt/pinwarden/bin/pip install --require-hashes --only-binary :all: --requirement requirements/server.txt \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY client client
COPY keys keys
COPY server server
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/pinwarden/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/pinwarden/bin/pip uninstall --yes pip

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Pinwarden" \
      org.opencontainers.image.description="Signed, expiring, rotatable pin sets for TLS clients" \
      org.opencontainers.image.licenses="Apache-2.0"
# Numbers, so that Kubernetes can see that it is not root. nginx joins the group to reach the socket and the files.
RUN python -m pip uninstall --yes --quiet pip \
    && groupadd --gid 10001 pinwarden \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/pinwarden --shell /usr/sbin/nologin pinwarden \
    && install -d -o 10001 -g 10001 -m 0710 /var/lib/pinwarden /run/pinwarden \
    && install -d -o 10001 -g 10001 -m 0755 /var/lib/pinwarden/published
COPY --from=build /opt/pinwarden /opt/pinwarden
COPY deploy/gunicorn.conf.py /etc/pinwarden/gunicorn.conf.py
ENV PATH=/opt/pinwarden/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PINWARDEN_SERVER_CONFIG=/var/lib/pinwarden/server.toml \
    PINWARDEN_SERVER_RUN_DIR=/run/pinwarden \
    PINWARDEN_SERVER_BIND=unix:/run/pinwarden/gunicorn.sock
WORKDIR /var/lib/pinwarden
USER 10001:10001
VOLUME ["/var/lib/pinwarden", "/run/pinwarden"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client as h, socket as s; c = h.HTTPConnection('localhost'); c.sock = s.socket(s.AF_UNIX); c.sock.settimeout(4); c.sock.connect('/run/pinwarden/gunicorn.sock'); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["gunicorn", "--config", "/etc/pinwarden/gunicorn.conf.py", "pinwarden_server.wsgi:serve()"]
