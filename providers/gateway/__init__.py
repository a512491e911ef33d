"""A metered door for other people's agents: their calls, our budget.

An agent is given a key and a base URL of the gateway's. Every call that comes with the key is
reserved, limited, passed on in its own dialect, settled by what the upstream says it used, and
recorded under its attempt. Nothing here knows what an agent or a task is.
"""
