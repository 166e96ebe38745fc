# docker build --target cpu .   laptop preset      --target trainer   the learning loop      --target gpu   phi-2 on CUDA
FROM python:3.11-slim AS base
RUN useradd --create-home --uid 10001 beyond && mkdir -p /home/beyond/data /home/beyond/models /app && chown -R beyond /home/beyond /app
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY --chown=beyond pyproject.toml README.md beyond.py requirements.lock ./
COPY --chown=beyond shared shared
COPY --chown=beyond producers producers
COPY --chown=beyond workers workers
COPY --chown=beyond trainer trainer
COPY --chown=beyond consumers consumers

FROM base AS cpu
# TORCH: the requirement, or a mirror's CPU wheel, so that this image need not carry CUDA.
ARG TORCH=torch==2.13.0
# What stands in the lock, by its hashes; what the resolver would choose today is not asked.
RUN pip install "$TORCH" && pip install --no-deps --require-hashes -r requirements.lock && pip install --no-deps .
USER beyond
CMD ["beyond", "work"]

# The cpu image, with what a teacher in process (llama.cpp builds here) and METEOR need.
FROM cpu AS trainer
USER root
RUN apt-get update && apt-get install -y --no-install-recommends build-essential wordnet-base wordnet-sense-index \
    && rm -rf /var/lib/apt/lists/* && pip install ".[teacher]"
USER beyond
CMD ["beyond", "schedule", "--every", "1000"]

FROM base AS gpu
RUN pip install torch==2.13.0 && pip install ".[train,gpu]"
USER beyond
ENV BEYOND_PRESET=gpu
CMD ["beyond", "work"]
