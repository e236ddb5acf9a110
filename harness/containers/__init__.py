"""Images and containers through the Docker SDK: pinned builds, benches, sandboxed runs."""

# Set in a bench's container: standard input ends when the client dies, and the bench stops then.
CLIENT_VARIABLE = "XSTILTS_CLIENT"
