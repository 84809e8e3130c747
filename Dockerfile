# The polling agent (docs/agent.md). The agent CLI is not part of it: install it in a layer of your own, or mount it.
FROM node:24-slim
RUN useradd --create-home claudios && install -d -o claudios -m 0700 /home/claudios/state
WORKDIR /opt/holdfast
COPY . .
RUN npm ci --ignore-scripts --omit=dev
USER claudios
ENV NODE_ENV=production STATE_DIR=/home/claudios/state
VOLUME /home/claudios/state
WORKDIR /home/claudios
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/holdfast/bin/claudios-agent"]
