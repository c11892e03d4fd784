"""The trainer's side of the service: queued groups as groups to train on."""
