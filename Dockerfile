# The image for a laptop or a container platform; apptainer.def makes the one for a cluster.
#   docker build --build-arg REVISION=$(git rev-parse HEAD) --tag gansfer .
#   docker run --rm --volume "$PWD:/work" gansfer run configs/phantom.yaml        (--gpus all: with GPUs)
# No CUDA base: torch's wheels bring CUDA, the host brings the driver.
ARG BASE=docker.io/library/python:3.12.12-slim-bookworm

FROM ${BASE} AS build
ARG REVISION=unknown
COPY . /opt/source
RUN sh /opt/source/jobs/image/install.sh /opt/source "$REVISION"

FROM ${BASE}
ARG REVISION=unknown
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="gansfer" \
      org.opencontainers.image.description="GANsfer Learning: segment medical images with almost no labels" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/gansfer /opt/gansfer
RUN useradd --create-home --uid 1000 gansfer && mkdir /work && chown gansfer /work
ENV PATH=/opt/gansfer/bin:$PATH \
    GANSFER_REVISION=${REVISION} \
    HDF5_USE_FILE_LOCKING=FALSE \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1
USER gansfer
WORKDIR /work
ENTRYPOINT ["gansfer"]
CMD ["--help"]
