# slipway's own processes: `slipway setup`, `slipway serve api|worker|local`. No musl: Temporal's SDK has no build for it.
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Nothing that we use needs an install script.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.mjs scripts/
COPY src src
RUN npm run build && npm ci --omit=dev --ignore-scripts && chmod +x dist/cli/main.js

FROM node:20.20.2-bookworm-slim
WORKDIR /app
COPY package.json LICENSE ./
COPY bundles bundles
COPY schemas schemas
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# The operator's files are mounted at /config; they belong beside the state folder.
RUN ln -s /app/dist/cli/main.js /usr/local/bin/slipway \
  && install -d -o node -g node /srv/slipway \
  && install -d -o node -g node -m 0700 /srv/slipway/.slipway \
  && ln -s /config/slipway.yaml /srv/slipway/slipway.yaml \
  && ln -s /config/bundles /srv/slipway/bundles
ENV NODE_ENV=production \
  SLIPWAY_STATE=/srv/slipway/.slipway \
  SLIPWAY_READY_FILE=/tmp/slipway.ready
USER node
WORKDIR /srv/slipway
VOLUME /srv/slipway/.slipway
EXPOSE 4800
# Each process keeps this file fresh while it serves.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD test -n "$(find "$SLIPWAY_READY_FILE" -newermt '15 seconds ago')"
ENTRYPOINT ["slipway"]
CMD ["--help"]
