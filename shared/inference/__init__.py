"""Models: weights, engines, prompts, adapters. It knows no queue and no store."""
