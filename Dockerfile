# syntax=docker/dockerfile:1
# Builder and final image are of the same Debian release: the binary links its glibc.
FROM rust:1.95-bookworm AS build
# rust-toolchain.toml asks for rustfmt and clippy, which are not needed here.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --package keyferry --bin keyferry \
    && cp target/dist/keyferry /keyferry

# No shell, no package manager; holds glibc, libgcc and the CA certificates. Runs as 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="keyferry" \
      org.opencontainers.image.description="Carries AWS Secrets Manager entries into cluster Secrets and rolls the workloads that use them" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /keyferry /usr/local/bin/keyferry
# One heap for all threads (glibc, mallopt(3)): the few threads there are wait for it less than what each would keep.
ENV MALLOC_ARENA_MAX=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/keyferry"]
CMD ["run"]
