"""The loss: policy losses, importance sampling, KL estimators, and the objective that combines them."""
