"""Stop strings beyond what a server takes: it gets as many as it takes, the rest are cut here.

A text is cut where any of the stop strings begins, as a server that took all of them would have
done: what it wrote after that point is paid for and not used.
"""

from __future__ import annotations

import msgspec

from providers.sample import Choice, SampleRequest


def sent_stops(request: SampleRequest, most: int | None) -> tuple[str, ...]:
    """The stop strings that a server taking `most` (None: any number) is given."""
    return request.stop if most is None else request.stop[:most]


def cut_at_stops(choice: Choice, request: SampleRequest) -> Choice:
    """The choice up to the first of the request's stop strings."""
    places = [
        (place, stop) for stop in request.stop if stop and (place := choice.text.find(stop)) >= 0
    ]
    if not places:
        return choice
    place, stop = min(places)
    if request.extra.get("include_stop_str_in_output"):
        place += len(stop)
    if place >= len(choice.text):
        return choice
    return msgspec.structs.replace(choice, text=choice.text[:place], finish_reason="stop")
