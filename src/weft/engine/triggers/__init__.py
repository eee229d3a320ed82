"""What starts executions from outside: webhooks. (The API and the command line start them by `weft.engine.routes`.)"""
