"""One of each thing that orch takes from other packages: see docs/extending.md of orch."""
