"""Images and containers through the Docker SDK: pinned builds, benches, sandboxed runs."""
