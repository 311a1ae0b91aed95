# Two small images from one build: `--target producer` (the default) and `--target worker`.

FROM rust:1.95-bookworm AS build
WORKDIR /src

# The dependencies, as a layer of their own: it is built from the manifests and empty sources alone, so that
# a change in our code does not compile them again.
COPY Cargo.toml Cargo.lock ./
COPY api/Cargo.toml api/
COPY bench/Cargo.toml bench/
COPY ctl/Cargo.toml ctl/
COPY fleet/Cargo.toml fleet/
COPY jobs/Cargo.toml jobs/
COPY pictures/Cargo.toml pictures/
COPY prices/Cargo.toml prices/
COPY process/Cargo.toml process/
COPY producer/Cargo.toml producer/
COPY providers/Cargo.toml providers/
COPY queue/Cargo.toml queue/
COPY schedules/Cargo.toml schedules/
COPY services/Cargo.toml services/
COPY store/Cargo.toml store/
COPY tests/Cargo.toml tests/
COPY tests/servers/Cargo.toml tests/servers/
COPY worker/Cargo.toml worker/
COPY zones/Cargo.toml zones/
RUN for manifest in */Cargo.toml tests/servers/Cargo.toml; do \
        folder="$(dirname "$manifest")/src" && mkdir -p "$folder" && touch "$folder/lib.rs" \
        && echo 'fn main() {}' > "$folder/main.rs"; \
    done \
    && cargo build --release --locked -p producer -p worker -p ctl

# Ours. Cargo goes by the files' times, and the copied ones may be older than the empty ones that were just built.
COPY . .
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --release --locked -p producer -p worker -p ctl

FROM debian:bookworm-slim AS runtime
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home ecom
COPY --from=build /src/target/release/ecomctl /usr/local/bin/
USER 10001
# Reachable from other containers; what is published is compose's business.
ENV HTTP_ADDR=0.0.0.0:8080 ADMIN_ADDR=0.0.0.0:9100

FROM runtime AS worker
COPY --from=build /src/target/release/worker /usr/local/bin/
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["worker", "--healthcheck"]
ENTRYPOINT ["worker"]

FROM runtime AS producer
COPY --from=build /src/target/release/producer /usr/local/bin/
EXPOSE 8080 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["producer", "--healthcheck"]
ENTRYPOINT ["producer"]
