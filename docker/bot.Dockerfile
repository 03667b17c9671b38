# The bot for any chat platform; also migrates, and keeps the schedule. No torch, no OpenVINO.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SNAPLABEL_HOME=/data
RUN useradd --system --uid 10001 --no-create-home snaplabel && install -d -o 10001 -g 10001 -m 700 /data
WORKDIR /app
COPY pyproject.toml README.md ./
COPY requirements/constraints.txt requirements/
COPY snaplabel snaplabel
COPY migrations migrations
COPY bot bot
RUN pip install --no-cache-dir -c requirements/constraints.txt '.[bot,postgres,s3]'
USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["snaplabel"]
