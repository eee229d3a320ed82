"""Words that every floor uses: errors, identifiers, actors, time. Pure: no I/O."""
