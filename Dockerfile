# The demo, on the CPU and without root: docker build -t recbole-unlearn . && docker run --rm recbole-unlearn
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home user && install --directory --owner=user /home/user/recbole_unlearn
USER user
WORKDIR /home/user/recbole_unlearn
COPY --chown=user . .
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu PIP_NO_CACHE_DIR=1
RUN make .venv/.ready
CMD ["make", "demo"]
