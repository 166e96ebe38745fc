"""What all parts share: vocabulary, settings, server, store, models, prompts."""
