# The trainer, and the worker on GPUs: both need torch.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SNAPLABEL_HOME=/data MPLCONFIGDIR=/tmp
RUN useradd --system --uid 10001 --no-create-home snaplabel && install -d -o 10001 -g 10001 -m 700 /data
WORKDIR /app
# Where torch comes from: empty takes the usual one, with CUDA; the address of PyTorch's CPU index saves 4 GB.
ARG TORCH_INDEX=""
COPY requirements/constraints.txt requirements/
RUN pip install --no-cache-dir -c requirements/constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
COPY pyproject.toml README.md ./
COPY snaplabel snaplabel
COPY migrations migrations
COPY worker worker
COPY trainer trainer
RUN pip install --no-cache-dir -c requirements/constraints.txt '.[trainer,worker,postgres,s3]'
USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["snaplabel"]
