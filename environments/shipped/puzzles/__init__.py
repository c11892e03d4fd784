"""Over a hundred families of puzzles, made from a seed at eight levels of difficulty."""
