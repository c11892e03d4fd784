"""The environments that come with Lachesis."""
