"""What every router shares: who asks, problems, paging, preconditions, bodies. Rooms import it; it knows no room."""
