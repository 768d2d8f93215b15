"""Watching a run while it is sampled: what the sampler tells, what the journal shows, how it looks."""
