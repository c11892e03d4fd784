"""The trajectory service: Atropos environments and trainers connect to it over HTTP."""
