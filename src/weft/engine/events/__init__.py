"""Events in the engine: who waits is written with the execution, who is woken is found by index."""
