# What `xstilts bench --docker` runs in on a GPU: bench.Dockerfile with the CUDA lock. CUDA comes with
# PyTorch's wheels, the driver from the host (NVIDIA Container Toolkit). Not built anywhere yet.
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# The packages; rebuilt only when base, lock or wheels change. Headers and tests of packages are half
# a gigabyte that no run reads. Bytecode is compiled here, since a run may not write; its validity
# hangs on the sources' hashes (SOURCE_DATE_EPOCH), not on times that differ between builds.
FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY requirements.lock ./
COPY wheels wheels
RUN python3 -m venv --without-pip /xstilts/env \
    && set -- wheels/pip-*.whl \
    && SOURCE_DATE_EPOCH=0 /xstilts/env/bin/python "$1/pip" install --require-hashes --no-deps \
        --no-index --find-links wheels --no-cache-dir --disable-pip-version-check \
        --quiet --requirement requirements.lock \
    && find /xstilts/env/lib/python3.11/site-packages -type d \
        '(' -name tests -o -name include -o -path '*/torch/test' ')' \
        -prune -exec rm -rf {} + \
    && echo /xstilts/app > /xstilts/env/lib/python3.11/site-packages/xstilts.pth \
    && printf '#!/bin/sh\nexec /xstilts/env/bin/python -m harness.cli "$@"\n' \
        > /xstilts/env/bin/xstilts \
    && chmod 755 /xstilts/env/bin/xstilts

# xstilts itself, and what the image can say of itself afterwards.
FROM packages AS application
COPY app /xstilts/app
COPY image.json ./
RUN SOURCE_DATE_EPOCH=0 /xstilts/env/bin/python -m compileall -q /xstilts/app/harness \
    && /xstilts/env/bin/python -m harness.containers.fingerprint image.json /xstilts/image.json

FROM ${BASE_IMAGE}
COPY --from=packages /xstilts/env /xstilts/env
COPY --from=application /xstilts/app /xstilts/app
COPY --from=application /xstilts/image.json /xstilts/
# Whoever runs it need not have an entry in /etc/passwd: a home, and a name for getpass.
ENV PATH=/xstilts/env/bin:$PATH \
    HOME=/tmp \
    USER=xstilts \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /tmp
USER 10001:10001
LABEL org.xstilts.variant=cuda
ENTRYPOINT ["xstilts"]
CMD ["bench"]
