"""Tables and summaries of a run."""
