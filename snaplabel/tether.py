"""Run by `snaplabel.supervise` as a script: ties itself to its parent's life, then becomes the program it is given.

A preexec_fn would do the same between fork and exec, where Python warns of deadlocks once there are threads.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); the wish survives exec


def main() -> None:
    """argv: the parent's process id, then the program and its arguments."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    tie(parent)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


def tie(parent: int) -> None:
    """End this process when its parent, of this process id, does; only Linux can promise that."""
    if sys.platform == "linux":
        import ctypes

        # SIGKILL and not SIGTERM: nobody is left to send it after a grace time, and everything here survives a kill.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("its parent ended before it began")


if __name__ == "__main__":
    main()
