# The authenticating proxy, in front of engines run elsewhere (compose.yaml runs vLLM's own image):
#   docker build -f docs/deploy/serve.Dockerfile -t evqa-serve .
FROM python:3.11.13-slim-bookworm

RUN useradd --uid 1000 --create-home evqa
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY docs/deploy/serve-requirements.txt ./
COPY conf conf
COPY evqa evqa
COPY serve.py ./
# only what the proxy imports: no torch
RUN pip install --no-cache-dir --constraint constraints.txt --requirement serve-requirements.txt \
    && mkdir outputs && chown 1000 outputs
USER 1000
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["python", "serve.py", "server.host=0.0.0.0"]
