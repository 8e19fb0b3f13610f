"""The `bookinfo` command.

Commands import what they need when they run, because each command must start fast.
"""

import os
import sys

import typer

from bookinfo_lab.cli import lifecycle, observe, proxies, rules, scenarios, traffic
from bookinfo_lab.errors import LabError

app = typer.Typer(
    help="Run Kubernetes and Istio manifests on this machine, with real Envoy proxies and no cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (lifecycle, rules, traffic, observe, proxies, scenarios):
    module.add_to(app)


def main() -> None:
    """Run the command, and report an error in one line."""
    try:
        app()
    except LabError as error:
        typer.echo(f"bookinfo: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # for example, `bookinfo logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def version() -> None:
    """Print the versions of Bookinfo and of its Envoy."""
    import subprocess
    from importlib.metadata import version as installed

    from bookinfo_lab.runtime import envoy

    typer.echo(f"bookinfo {installed('bookinfo-lab')}")
    binary = envoy.find(os.environ)
    result = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - Envoy
    typer.echo(result.stdout.strip())
