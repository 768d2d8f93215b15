"""Inference servers: start, watch and stop SGLang (`servers.sglang`), or play one (`servers.fake`)."""
