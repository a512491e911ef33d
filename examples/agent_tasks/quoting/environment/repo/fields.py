"""Lines of fields with commas between them."""


def split(line):
    """The fields of a line."""
    return line.split(",")


def join(fields):
    """A line of fields that hold no comma."""
    return ",".join(fields)
