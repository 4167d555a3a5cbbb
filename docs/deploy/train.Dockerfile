# Training, evaluation and release. Build from the repository's root:
#   docker build -f docs/deploy/train.Dockerfile -t evqa-train .
#   docker run --gpus all -v "$PWD/outputs:/app/outputs" evqa-train train.py trainer=gpu
FROM python:3.11.13-slim-bookworm

# not pinned: Debian drops old versions from its archive, and a pin would break the build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc git libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home evqa
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY conf conf
COPY data/sample data/sample
COPY data/benchmark data/benchmark
COPY evqa evqa
COPY train.py evaluate.py ./
RUN pip install --no-cache-dir --constraint constraints.txt --editable . \
    && mkdir outputs data/prepared && chown -R 1000 outputs data/prepared
USER 1000
ENTRYPOINT ["python"]
CMD ["train.py", "--help"]
