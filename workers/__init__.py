"""Workers: claim jobs, analyse reviews in batches, save analyses."""
