"""The features, one folder each. A room may import the rooms before it, never after."""
