"""The way in and out: server, queues, recovery, store."""
