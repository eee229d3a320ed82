"""How much at once, how fast, and what first: concurrency limits, rate limits, priorities."""
