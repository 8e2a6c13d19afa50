# The product, without its tests. `docker compose build` builds it.
FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gettext \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
COPY requirements.txt ./
RUN pip install --require-hashes --no-deps --requirement requirements.txt
# For `rotate_client_secret --queue-url`: not one of our pins, and it must leave those as they are.
ARG WITH_SQS=
RUN if [ -n "$WITH_SQS" ]; then pip freeze > pins.txt && pip install --constraint pins.txt boto3; fi

WORKDIR /app
# By name: what is not listed here cannot ship.
COPY manage.py gunicorn.conf.py ./
COPY sellerlegend sellerlegend
COPY connections connections
COPY marketplaces marketplaces
COPY ppc ppc
COPY templates templates
COPY static static
# The values satisfy the start-up checks for these two commands and are not kept.
RUN export DJANGO_SECRET_KEY=build-only-$(head -c 48 /dev/urandom | base64 -w 0) \
        TOKEN_ENCRYPTION_KEYS=build:$(head -c 32 /dev/urandom | base64 -w 0) \
        PUBLIC_BASE_URL=https://build.invalid \
    && { ! ls sellerlegend/locale/*/LC_MESSAGES/*.po >/dev/null 2>&1 \
        || python manage.py compilemessages; } \
    && python manage.py collectstatic --noinput

FROM python:3.11-slim-bookworm

ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PORT=8000 GUNICORN_CMD_ARGS=--worker-tmp-dir=/dev/shm
RUN useradd --system --uid 10001 --create-home product
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# The beat schedule, mails when no mail server is set, and the log of deletions are the only files
# it writes.
RUN mkdir records && chown --recursive product:product var records
USER product
EXPOSE 8000
# Of the web process; whoever starts a worker or beat from this image turns it off.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
CMD ["gunicorn", "sellerlegend.wsgi:application", "--worker-class", "gthread", "--threads", "4", \
     "--timeout", "60", "--graceful-timeout", "20", "--keep-alive", "5", "--no-control-socket"]
