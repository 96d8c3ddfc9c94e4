# One image for every role; docker-compose.yml and deploy/k8s say which command each of them runs.

FROM docker.io/library/python:3.12-slim AS build
COPY requirements.txt .
# pip uses its configured package index. To configure it for the build only, without leaving a trace in the image:
#   docker build --secret id=pip,src=/path/to/pip.conf --tag tickfence .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements.txt \
    # Only `make run` needs it.
    && /venv/bin/pip uninstall --yes --quiet supervisor
COPY pyproject.toml README.md LICENSE ./
COPY tickfence tickfence
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps --no-build-isolation --quiet . \
    # Only the installation needs them.
    && /venv/bin/pip uninstall --yes --quiet hatchling editables

FROM docker.io/library/python:3.12-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tickfence \
    # Volumes that are mounted here for the first time become this user's.
    && install --directory --owner tickfence --group tickfence /recordings /recorder-wal
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Every new connection looks up its server's name. Only the resolver's own options limit how long a lookup takes.
ENV RES_OPTIONS="timeout:1 attempts:2"
WORKDIR /app
COPY --from=build /venv /venv
# The roles, and the simulator. The package tickfence is installed in /venv.
COPY celeryconfig.py flowerconfig.py ./
COPY beat_schedule beat_schedule
COPY ingest ingest
COPY tasks tasks
COPY tools tools
RUN python -m compileall -q .
USER 10001:10001
