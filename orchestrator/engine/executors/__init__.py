"""Who makes an attempt that is an agent's whole work: one file a way, one small interface."""
