"""`python -m bookinfo_client` waits for SIGTERM or SIGINT and exits with code 0."""

import signal

STOP = (signal.SIGTERM, signal.SIGINT)

if __name__ == "__main__":
    # The first process of a container ignores signals without a handler. Waiting for a signal needs no handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    signal.sigwait(STOP)
