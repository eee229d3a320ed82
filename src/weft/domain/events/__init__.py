"""Events: news from outside and from other workflows, who waits for them, and questions that people answer."""
