"""Ranges of whole numbers, both ends included."""


def merge(ranges):
    """The same numbers in as few ranges as can be, in order."""
    merged = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
