"""Runs kubectl, for the lab's verification of clusters and for the canary controller."""

from bookinfo_kubectl.commands import CommandError, CommandTimeoutError, run_command
from bookinfo_kubectl.kubectl import ConnectionLostError, Json, Kubectl, UnknownKindError

__all__ = [
    "CommandError",
    "CommandTimeoutError",
    "ConnectionLostError",
    "Json",
    "Kubectl",
    "UnknownKindError",
    "run_command",
]
