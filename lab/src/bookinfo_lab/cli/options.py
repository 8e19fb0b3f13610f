"""The options and arguments that several commands share, and the panels of `bookinfo --help`."""

from typing import Annotated

import typer

LabOption = Annotated[str, typer.Option("--lab", envvar="BOOKINFO_LAB", help="The name of the lab.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WorkloadArgument = Annotated[str, typer.Argument(help="The name of a pod or of its Deployment, such as reviews-v1.")]
ManifestsOption = Annotated[
    list[str], typer.Option("--filename", "-f", help="A file, a directory, or - for standard input; repeatable.")
]

START_AND_STOP = "Start and stop"
RULES = "Rules"
TRAFFIC = "Traffic"
OBSERVE = "Observe"
VERIFY = "Verify"
