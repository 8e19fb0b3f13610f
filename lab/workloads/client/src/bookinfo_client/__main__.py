"""`python -m bookinfo_client` lives until SIGTERM or SIGINT, then exits 0."""

import signal

STOP = (signal.SIGTERM, signal.SIGINT)

if __name__ == "__main__":
    # As a container's first process it would ignore signals that it has no handler for; waiting for them needs none.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    signal.sigwait(STOP)
