"""The rules of RRO and everything around them: what an application imports."""
