"""The learning loop: sample, label, fine-tune, evaluate, promote."""
