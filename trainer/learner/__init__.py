"""What learns: training samples, the model, its optimizer, and both over several ranks."""
