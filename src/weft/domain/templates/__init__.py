"""Message templates: texts that notifications send, changed without touching the workflows that send them."""
