# One image for every process of the service: API, runner, Ray head, Ray worker, migration.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 safs && install -d -o safs /data /srv/safs
WORKDIR /opt/safs

# Dependencies are installed first: they change seldom and take several GB.
COPY pyproject.toml constraints.txt README.md ./
RUN mkdir -p safs search_spaces store workers api cli migrations telemetry \
    && pip install --no-cache-dir --constraint constraints.txt '.[server,timm,otel,onnx,sparse]' \
    && pip uninstall --yes safs-service

COPY . .
RUN pip install --no-cache-dir --no-deps --editable .

USER safs
ENV SAFS_HOME=/data SAFS_DATA_ROOT=/srv/safs
ENTRYPOINT ["safs"]
CMD ["--help"]
