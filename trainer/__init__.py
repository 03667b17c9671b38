"""The trainer: fits, fine-tunes, judges and publishes models; it never talks to a person."""

import os

# numpy and torch read these when they are imported. Threads of OpenBLAS and OpenMP wait for each other by spinning, and
# beside a worker that keeps the cores busy they spin most of the time away: a refit took 7 s with two threads of
# OpenBLAS and 0.2 s with one, a batch of a fine-tune 1.8 s where waiting threads spin and 0.7 s where they sleep.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
