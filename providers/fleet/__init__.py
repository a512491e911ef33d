"""Several servers of one model as one provider; launches, guards and stops those of this machine.

Nothing here knows of runs. What starts and ends processes (`guard`, `holds`, `processes`) needs
the standard library alone, since a guard must come up in a moment and outlive what it guards.
"""
