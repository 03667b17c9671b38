"""The trainer: fits, fine-tunes, judges and publishes models; it never talks to a person."""

import os

# numpy reads this when it is imported. OpenBLAS's threads wait for each other by spinning: beside a worker that keeps
# the cores busy, a refit took 7 s with two of them and 0.2 s with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
