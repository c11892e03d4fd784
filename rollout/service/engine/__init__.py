"""The engine's side of the service: sampling for clients, with exact tokens."""
