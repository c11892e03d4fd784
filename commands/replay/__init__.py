"""``lachesis replay``: recorded replies played again, and recorded batches trained again."""
