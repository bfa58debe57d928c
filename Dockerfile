# The demo, on the CPU and without root: docker build -t recbole-unlearn . && docker run --rm recbole-unlearn
# Checked by hadolint, not built: docker was out of reach. The slim image keeps one version of a package at a time.
FROM python:3.11-slim
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 user && install --directory --owner=user /home/user/recbole_unlearn
USER 1000
WORKDIR /home/user/recbole_unlearn
COPY --chown=user . .
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu PIP_NO_CACHE_DIR=1
RUN make .venv/.ready
CMD ["make", "demo"]
