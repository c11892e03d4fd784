"""The learner: training samples, the model and its optimizer, on one rank or several."""
