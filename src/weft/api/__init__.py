"""The HTTP process: application, documents about itself, health, metrics, and how it is served."""
