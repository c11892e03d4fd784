"""The learner over several ranks: sharded weights, how they are loaded, and the actors that hold them."""
