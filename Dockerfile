# One image for every role; docker-compose.yml and deploy/k8s say which command each of them runs.

FROM docker.io/library/python:3.12-slim AS build
COPY requirements.txt .
# Packages come from where pip is told to look. To tell it otherwise, without leaving a trace in the image:
#   docker build --secret id=pip,src=/path/to/pip.conf --tag tickfence .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements.txt \
    # What only `make run` needs: containers have a supervisor already.
    && /venv/bin/pip uninstall --yes --quiet supervisor

FROM docker.io/library/python:3.12-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tickfence
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Servers are looked up by name for each new connection, and a lookup knows no other time limit than the resolver's own.
ENV RES_OPTIONS="timeout:1 attempts:2"
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
# In place: so Celery's command line finds the project's commands.
RUN pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps --no-build-isolation --quiet --editable . \
    && python -m compileall -q .
USER 10001:10001
