# astroclean with the networks of this repository, run as an ordinary user on what is mounted at /data:
#
#     docker build -t astroclean .
#     docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" astroclean run demo
#
# Not tried: there was no Docker daemon where this was written.
FROM python:3.13-slim AS build
COPY . /source
WORKDIR /source
RUN python -m venv /opt/astroclean \
    && /opt/astroclean/bin/python -m pip install --no-cache-dir -r requirements/run.txt

FROM python:3.13-slim
COPY --from=build /opt/astroclean /opt/astroclean
RUN useradd --create-home --uid 1000 astroclean
USER astroclean
# Any user may be chosen with --user; what libraries cache must have a place that all may write to.
ENV PATH=/opt/astroclean/bin:$PATH HOME=/tmp
WORKDIR /data
ENTRYPOINT ["astroclean"]
CMD ["--help"]
