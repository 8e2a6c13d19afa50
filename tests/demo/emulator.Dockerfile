# The fake Amazon for `docker compose --profile emulator up`. For development only.
FROM python:3.11-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt requirements-dev.txt ./
RUN pip install --require-hashes --no-deps --requirement requirements.txt --requirement requirements-dev.txt
COPY tests/__init__.py tests/__init__.py
COPY tests/amazon_emulator tests/amazon_emulator
RUN useradd --system --uid 10001 --create-home emulator && mkdir var && chown emulator var
USER emulator
EXPOSE 9001
