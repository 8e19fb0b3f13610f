"""What goes wrong in front of the user."""


class LabError(Exception):
    """One clear line: what is wrong, where, and what to do. Printed as it is, never with a traceback."""
